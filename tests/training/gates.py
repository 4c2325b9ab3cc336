"""Environments that do something else in the process that scores policies: wait, hang, die, raise."""

import os
import signal
import time
from pathlib import Path

import gymnasium as gym
from gymnasium.envs.classic_control import PendulumEnv

gym.register("Gate-v0", entry_point="tests.training.gates:Gate", max_episode_steps=20)


class Gate(PendulumEnv):
    """A pendulum that does a deed at each reset in another process than the learner's."""

    def __init__(self, learner=0, deed="", folder=".", times=1, **kwargs):
        super().__init__(**kwargs)
        self.elsewhere, self.deed, self.folder, self.times = os.getpid() != learner, deed, Path(folder), times

    def reset(self, **kwargs):
        if self.elsewhere and self.deed:
            getattr(self, self.deed)()
        return super().reset(**kwargs)

    def wait(self):
        """Wait until somebody opens the gate, and say that this one waits."""
        (self.folder / "waits").touch()
        while not (self.folder / "open").exists():
            time.sleep(0.01)

    def first_times(self):
        """Return whether this is the first reset in one of the first processes."""
        if (self.folder / f"pid{os.getpid()}").exists() or len(list(self.folder.glob("pid*"))) >= self.times:
            return False
        (self.folder / f"pid{os.getpid()}").touch()
        return True

    def die(self):
        if self.first_times():
            os.kill(os.getpid(), signal.SIGKILL)

    def hang(self):
        if self.first_times():
            time.sleep(1000)

    def fail(self):
        raise ZeroDivisionError("no score here")
