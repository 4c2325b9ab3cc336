"""Ctrl-C and SIGTERM are heard after the current step, whatever is going on."""

import signal

import gymnasium as gym
import numpy as np
import pytest

from workspace_rl import GymAgent, Run, Workspace
from workspace_rl.algos import SAC
from workspace_rl.experience.collector import Collector
from workspace_rl.machine.interrupts import Stopped, StopRequest


class Alarm(gym.Env):
    """Where it is armed, a signal arrives at the third step; counts the steps that follow. Episodes never end."""

    observation_space = gym.spaces.Box(-9, 9, (1,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}
    armed, signal, steps = False, signal.SIGTERM, 0

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        if Alarm.armed:
            Alarm.steps += 1
            if Alarm.steps == 3:
                signal.raise_signal(Alarm.signal)
        return np.zeros(1, np.float32), 1.0, False, False, {}

    def render(self):
        return np.zeros((32, 32, 3), np.uint8)


gym.register("Alarm-v0", Alarm)


@pytest.fixture(params=[signal.SIGTERM, signal.SIGINT])
def alarm(request, monkeypatch):
    """Put the alarm on at a function's call."""
    monkeypatch.setattr(Alarm, "armed", False)
    monkeypatch.setattr(Alarm, "steps", 0)
    monkeypatch.setattr(Alarm, "signal", request.param)

    def arm(owner, name):
        original = getattr(owner, name)

        def armed(*args, **kwargs):
            Alarm.armed = True
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, armed)

    return arm


@pytest.fixture
def parameters(tiny_sac):
    tiny_sac["gym_env"] = {"env_name": f"{__name__}:Alarm-v0", "max_episode_steps": 50}
    tiny_sac["algorithm"] |= {"n_envs": 1, "n_steps": 20, "nb_evals": 1, "total_steps": 300, "eval_interval": 150}
    return tiny_sac


@pytest.mark.parametrize(
    ("owner", "name", "steps"),
    [
        (SAC, "evaluate", 160),  # the evaluation of a run
        (Run, "evaluate", 300),  # the final score
        (Run, "record", 300),  # the film
        (Collector, "load_policy", 100),  # the next collection
    ],
)
def test_one_signal_ends_a_run_after_the_current_step(owner, name, steps, alarm, parameters):
    alarm(owner, name)
    parameters["record_best"] = True
    result = SAC(parameters).train(progress=False)
    assert result.interrupted and abs(result.steps - steps) <= 20
    assert Alarm.steps <= 3 + 2  # two environments at most are stepped together
    assert (result.run / "latest" / "policy.yaml").is_file()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_signal_among_many_updates_is_heard_after_the_current_one(parameters):
    parameters["algorithm"] |= {"updates_per_collect": 1000}
    sac = SAC(parameters)
    learn = sac.learn
    sac.learn = lambda batch: (sac.n_updates == 5 and signal.raise_signal(signal.SIGTERM), learn(batch))[1]
    assert sac.train(progress=False).interrupted and sac.n_updates == 6


@pytest.mark.parametrize("use", ["evaluate", "record"])
def test_scoring_and_filming_a_run_hear_it_too(use, alarm, parameters):
    run = Run(SAC(parameters).train(progress=False).run)
    Alarm.armed = True
    with pytest.raises(Stopped):
        run.evaluate(1) if use == "evaluate" else run.record()
    assert Alarm.steps == 3
    assert not (run.path / "best" / "best_agent.mp4").exists()


def test_a_request_within_another_one_is_heard_by_both():
    with StopRequest() as outer:
        with StopRequest() as inner:
            signal.raise_signal(signal.SIGTERM)
        assert inner.requested and outer.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)  # the second one
    GymAgent(Alarm)(Workspace(), t=0)  # nobody listens any more
