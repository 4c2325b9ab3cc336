"""Ctrl-C and SIGTERM are heard after the current step, whatever is going on; episodes that never end are told of."""

import signal

import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.toys import ConstantAgent
from workspace_rl import GymAgent, Run, Workspace, evaluate
from workspace_rl.algos import SAC
from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.config.make_env_agent import make_env_agent
from workspace_rl.envs import facts
from workspace_rl.evaluation.evaluation import Evaluation
from workspace_rl.experience.collector import Collector
from workspace_rl.films.video import record_video
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


# ---- episodes that never end --------------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(facts, "LONG_EPISODE", 100)
    monkeypatch.setattr(facts.LongEpisodes.__init__, "__defaults__", (200,))


def test_an_endless_episode_is_told_of_and_counts_as_it_stands(short):
    env_agent = GymAgent(Alarm, 2, auto_reset=False)
    with pytest.warns(UserWarning, match=r"'Alarm' is not over after 1\d\d steps, .*max_episode_steps"):
        score = evaluate(env_agent, ConstantAgent(), [1, 2, 3])
    assert len(score.returns) == 3 and score.lengths == [int(one) for one in score.returns]
    assert all(200 <= one < 300 for one in score.lengths)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_who_has_a_limit_is_left_alone(vectorization, short):
    config = EnvironmentConfig(env_name=f"{__name__}:Alarm-v0", max_episode_steps=300, vectorization=vectorization)
    env_agent = make_env_agent(config, 2, auto_reset=False)
    assert env_agent.facts().time_limit == 300
    assert evaluate(env_agent, ConstantAgent(), [1, 2]).lengths == [300, 300]
    env_agent.close()


@pytest.mark.parametrize("vectorization", ["sync", "vector_entry_point"])
def test_the_limit_of_atari_games_is_known(vectorization):
    pytest.importorskip("ale_py")
    config = EnvironmentConfig(env_name="PongNoFrameskip-v4", atari={}, vectorization=vectorization)
    assert make_env_agent(config, 1, auto_reset=False).facts().time_limit == 27_000


def test_a_film_of_an_endless_episode_ends(monkeypatch, tmp_path):
    monkeypatch.setattr("workspace_rl.films.video.LONG_EPISODE", 40)
    monkeypatch.setattr(facts, "LONG_EPISODE", 40)
    env_agent = GymAgent(lambda: Alarm("rgb_array"), auto_reset=False)
    with pytest.warns(UserWarning, match="not over after 40 steps"):
        assert record_video(env_agent, ConstantAgent(), tmp_path / "film.mp4", [1]).is_file()


# ---- wrappers with a memory ---------------------------------------------------------------------------------------


class OwnStatistics(gym.ObservationWrapper):
    """Normalises by statistics of its own."""

    def __init__(self, env):
        super().__init__(env)
        self._mean, self._var, self._count = 0.0, 1.0, 0

    def observation(self, observation):
        return observation


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("wrapper", ["NormalizeObservation", "NormalizeReward", f"{__name__}.OwnStatistics"])
def test_a_wrapper_with_a_memory_is_told_of_at_the_start(wrapper, vectorization, parameters):
    parameters["gym_env"] |= {"wrappers": ["RecordEpisodeStatistics", wrapper], "vectorization": vectorization}
    with pytest.warns(UserWarning, match=rf"wrapped by {wrapper.rpartition('.')[2]}, .*Statistics belong"):
        sac = SAC(parameters)
    sac._close_environments()


def test_so_are_those_of_vector_environments_and_whoever_scores(recwarn):
    vector = gym.wrappers.vector.NormalizeObservation(gym.vector.SyncVectorEnv([lambda: gym.make("Pendulum-v1")] * 2))
    assert GymAgent(vector).facts().with_memory == ("NormalizeObservation",)
    assert GymAgent(vector).facts().time_limit is None or GymAgent(vector).facts().time_limit == 200
    for wrapper in ("FrameStackObservation", "RecordEpisodeStatistics", "TimeLimit", "StickyAction"):
        arguments = {"FrameStackObservation": {"stack_size": 2}, "TimeLimit": {"max_episode_steps": 9}}
        arguments |= {"StickyAction": {"repeat_action_probability": 0.1}}
        config = EnvironmentConfig(env_name="Pendulum-v1")
        config.wrappers = [{"classname": f"gymnasium.wrappers.{wrapper}"} | arguments.get(wrapper, {})]
        assert make_env_agent(config, 1, auto_reset=True).facts().with_memory == ()
    make = lambda: OwnStatistics(gym.make("Pendulum-v1"))  # noqa: E731
    with pytest.warns(UserWarning, match="wrapped by OwnStatistics"):
        score = evaluate(GymAgent(make, auto_reset=False), ConstantAgent(), [1])
    assert isinstance(score, Evaluation) and torch.is_grad_enabled()
