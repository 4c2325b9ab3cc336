"""What networks get and give."""

import gymnasium as gym
import pytest

from tests.toys import SpaceEnv
from workspace_rl import GymAgent
from workspace_rl.envs.spaces.sizes import ACTION_KINDS, action_kind
from workspace_rl.errors import UnsupportedSpaceError


def test_sizes():
    agent = GymAgent("Pendulum-v1")
    assert agent.action_choices is None
    assert (agent.observation_size, agent.action_size) == (3, 1)
    assert GymAgent("CartPole-v1").action_size == 2
    assert GymAgent(lambda: SpaceEnv(gym.spaces.Discrete(3, start=1))).observation_choices == [[1, 3]]
    with pytest.raises(UnsupportedSpaceError, match="not a vector"):
        _ = GymAgent(lambda: SpaceEnv(gym.spaces.Box(0, 1, (3, 3)))).observation_size


@pytest.mark.parametrize(
    ("space", "kind", "choices", "size"),
    [
        (gym.spaces.Box(-1, 1, (3,)), "continuous", None, 3),
        (gym.spaces.Discrete(3, start=1), "discrete", [3], 3),
        (gym.spaces.MultiDiscrete([2, 3]), "multi-discrete", [2, 3], 5),
        (gym.spaces.MultiDiscrete([[2, 3], [4, 5]]), "multi-discrete", [2, 3, 4, 5], 14),
        (gym.spaces.MultiBinary(3), "multi-binary", [2, 2, 2], 3),
        (gym.spaces.MultiBinary([2, 2]), "multi-binary", [2, 2, 2, 2], 4),
    ],
    ids=str,
)
def test_kinds_and_sizes_of_actions(space, kind, choices, size):
    agent = GymAgent(lambda: SpaceEnv(action_space=space))
    assert (agent.action_kind, agent.action_choices, agent.action_size) == (kind, choices, size)
    assert action_kind(space) in ACTION_KINDS


def test_actions_that_are_several_rows_of_numbers_have_no_size():
    with pytest.raises(UnsupportedSpaceError, match="neither a vector of numbers nor made of choices"):
        _ = GymAgent(lambda: SpaceEnv(action_space=gym.spaces.Box(-1, 1, (2, 2)))).action_size
