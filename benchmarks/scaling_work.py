"""What scaling.py measures: learners, each in a process of its own, which take turns like those of speed_contenders.py.

    python scaling_work.py KIND JSON

A learner does a number of units of its work when it is told to, and says how long that took: fragments that it has
taken from its collectors (`collecting`), or updates (`training`, `ranks`).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import speed_contenders as contenders  # before torch: it sets the number of threads
import torch
from speed_contenders import Turns

#: The simulator, by where collectors in other processes find it, too.
SIMULATOR = "ScalingSimulator-v0"
#: Transitions that the replay buffer holds: more than all rounds collect, so that free mode never waits for learning.
CAPACITY = 2_000_000


class Simulator(gym.Env):
    """Random observations, after as many seconds of sleep as a file says; episodes have no end.

    Args:
        size: numbers in an observation.
        actions: numbers in an action.
        pace: a file that holds the seconds, one float64, which may change meanwhile; None: no sleep.
        census: a folder in which each process that makes simulators leaves an empty file, named by its number.
    """

    def __init__(
        self,
        size: int = 4,
        actions: int = 1,
        pace: str | None = None,
        census: str | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.observation_space = gym.spaces.Box(-1, 1, (size,))
        self.action_space = gym.spaces.Box(-1, 1, (actions,))
        self._seconds = np.zeros(1) if pace is None else np.memmap(pace, np.float64, "r")
        self._observation = np.zeros(size, np.float32)
        if census is not None:
            Path(census, str(os.getpid())).touch()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observation, {}

    def step(self, action):
        if self._seconds[0]:
            time.sleep(self._seconds[0])
        return self._observation, 0.0, False, False, {}


gym.register(SIMULATOR, entry_point="scaling_work:Simulator", disable_env_checker=True)


def collecting(
    turns: Turns,
    collectors: dict[str, Any] | None,
    n_steps: int,
    env_args: dict[str, Any],
    hidden: list[int],
    switch: str | None = None,
    n_envs: int = 1,
    capacity: int = CAPACITY,
) -> None:
    """Collect into the replay buffer and learn nothing; a unit is a fragment.

    Args:
        turns: of this learner.
        collectors: the section of the configuration.
        n_steps: steps of each environment in a fragment.
        env_args: of the simulator.
        hidden: units of the actor's hidden layers.
        switch: a file; while it exists, each round acts with weights that are new.
        n_envs: environments of a collector.
        capacity: transitions that the replay buffer holds.
    """
    from workspace_rl.algos import SAC

    architecture = {"actor_hidden_size": hidden, "critic_hidden_size": [8]}
    parameters = {"n_envs": n_envs, "n_steps": n_steps, "architecture": architecture}
    parameters |= {"buffer_size": capacity, "learning_starts": capacity}
    config = contenders.configuration(SIMULATOR, False, **parameters)
    config["gym_env"]["env_args"] = env_args
    algorithm = SAC(config | {"collectors": collectors})
    began = time.perf_counter()
    experience, source = algorithm.make_parts()
    with contextlib.closing(source):
        source.start()
        steps, version, seen = 0, 0, set()
        n = 1 if collectors is None else collectors["n"]
        while True:
            for fragment in source.collect(steps):
                if len(seen) == n:
                    turns.next()
                experience.put(fragment)
                steps += fragment.n_transitions
                if len(seen) < n:
                    seen.add(fragment.collector)
                    if len(seen) == n:
                        size = sum(fragment.get_full(name).nbytes for name in fragment)
                        turns.ready(started=time.perf_counter() - began, bytes=size)
            if switch is not None and Path(switch).exists():
                version += 1
                source.load_policy(algorithm.policy, version)


def training(
    turns: Turns, collectors: dict[str, Any] | None, n_steps: int, updates: float, algorithm: dict[str, Any]
) -> None:
    """Train SAC on Pendulum, compiled, as `sac/pendulum` has it but for what is given; a unit is an update.

    Args:
        turns: of this learner.
        collectors: the section of the configuration.
        n_steps: steps in a fragment.
        updates: for each fragment.
        algorithm: parameters of the algorithm.
    """
    from workspace_rl.algos import SAC
    from workspace_rl.config.sources import read_config

    class Paced(SAC):
        def learn(self, batch):
            if self.n_updates == 2:  # they are compiled now
                turns.ready(precision=self.config.matmul_precision)
            if self.n_updates >= 2:
                turns.next()
            return super().learn(batch)

    with tempfile.TemporaryDirectory() as folder:
        never = 10**8
        parameters = {"n_steps": n_steps, "updates_per_collect": updates, "total_steps": never}
        parameters |= {"eval_interval": never, "checkpoint_interval": None, **algorithm}
        options = {"compile": True, "record_best": False, "base_dir": f"{folder}/run", "collectors": collectors}
        config = read_config("sac/pendulum", [])
        config = {**config, **options, "algorithm": {**config["algorithm"], **parameters}}
        Paced(config).train(progress=False)


def ranks(turns: Turns, batch_size: int) -> None:
    """Learn on a replay buffer that is full of noise; a unit is an update.

    With torchrun each rank has its share of the batch. The others' turns are those of rank 0, for which they wait.
    """
    from workspace_rl.algos import SAC
    from workspace_rl.machine.interrupts import StopRequest

    name = "obs 17, act 6"
    architecture = {"actor_hidden_size": contenders.HIDDEN[name], "critic_hidden_size": [256, 256]}
    config = contenders.configuration("SpeedNoise-v0", True, architecture=architecture, batch_size=batch_size)
    config["gym_env"]["env_args"] = contenders.SIZES[name]
    algorithm = SAC(config)
    with algorithm.ranks, algorithm.ranks.turns(StopRequest()):
        buffer = contenders.filled_buffer(algorithm.stored_variables, contenders.SIZES[name], 20_000)
        share = batch_size // algorithm.ranks.size
        for number in range(10**9):
            if number == 3:
                turns.ready(precision=algorithm.config.matmul_precision)
            if number >= 3:
                turns.next()
            algorithm.learn(buffer.sample(share))


class Following:
    """The turns of a rank that waits for another one."""

    def ready(self, **about: Any) -> None:
        """Go on."""

    def next(self) -> None:
        """Go on."""


KINDS = {"collecting": collecting, "training": training, "ranks": ranks}


def work(kind: str, arguments: str) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if os.environ.get("RANK", "0") == "0":
        KINDS[kind](Turns(), **json.loads(arguments))
    else:
        with contextlib.suppress(Exception):  # the first rank has left
            KINDS[kind](Following(), **json.loads(arguments))


if __name__ == "__main__":
    work(*sys.argv[1:])
