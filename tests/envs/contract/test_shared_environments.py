"""One environment in several places."""

import gymnasium as gym
import pytest

from tests.toys import ConstantAgent, CountingEnv
from workspace_rl import Agents, Collector, GymAgent, TemporalAgent, Workspace, evaluate
from workspace_rl.errors import SharedEnvironmentError


class InnerHolder(gym.Env):
    """A wrapper that is none of gymnasium's."""

    def __init__(self, env):
        self.env = env
        self.observation_space, self.action_space = env.observation_space, env.action_space


ONE = CountingEnv()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ONE,
        lambda: gym.wrappers.TimeLimit(ONE, 5),
        lambda: gym.wrappers.TimeLimit(InnerHolder(ONE), 5),
        lambda: gym.wrappers.RecordEpisodeStatistics(gym.wrappers.OrderEnforcing(ONE)),
    ],
)
@pytest.mark.parametrize("auto_reset", [True, False])
def test_the_same_object_behind_several_slots_is_refused_with_the_reason(make, auto_reset, monkeypatch):
    monkeypatch.setattr(CountingEnv, "close", lambda self: pytest.fail("somebody else's environment was closed"))
    with pytest.raises(SharedEnvironmentError, match=r"0 and 1 of 3 .* same object, a CountingEnv.*lambda: CountingE"):
        GymAgent(make, 3, auto_reset=auto_reset)
    with pytest.raises(SharedEnvironmentError, match="0 and 1 of 2"):
        GymAgent(gym.vector.SyncVectorEnv([make] * 2), auto_reset=auto_reset)


def test_the_place_of_a_shared_environment_is_told():
    envs = iter([CountingEnv(), ONE, CountingEnv(), ONE])
    with pytest.raises(SharedEnvironmentError, match="environments 1 and 3 of 4"):
        GymAgent(lambda: next(envs), 4)


@pytest.mark.parametrize("vector", [False, True])
def test_training_and_evaluation_with_one_object_are_told_where_they_disturb_each_other(vector):
    one = CountingEnv(50)
    make = (lambda: gym.vector.SyncVectorEnv([lambda: one])) if vector else (lambda: one)
    source = make() if vector else make
    training, evaluation = GymAgent(source), GymAgent(source, auto_reset=False)
    collector = Collector(training, ConstantAgent())
    collector.collect(5)
    assert evaluate(evaluation, ConstantAgent(), [1]).lengths == [50]
    with pytest.raises(SharedEnvironmentError, match="was reset by another agent in the middle of this one's"):
        collector.collect(5)
    collector.restart(0)  # from a reset of its own it may go on
    assert collector.collect(5)["env/timestep"].flatten().tolist() == [0, 1, 2, 3, 4, 5]


def test_one_object_may_be_used_by_one_agent_after_the_other():
    one = CountingEnv(3)
    for _ in range(2):
        assert evaluate(GymAgent(lambda: one, auto_reset=False), ConstantAgent(), [1, 2]).returns == [6, 6]
    first, second = GymAgent(CountingEnv), GymAgent(CountingEnv)
    first(Workspace(), t=0)
    second(Workspace(), t=0)
    workspace = Workspace()
    TemporalAgent(Agents(first, ConstantAgent()))(workspace, t=0, n_steps=3)
