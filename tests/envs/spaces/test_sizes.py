"""What networks get and give."""

import gymnasium as gym
import pytest

from tests.toys import SpaceEnv
from workspace_rl import GymAgent
from workspace_rl.errors import UnsupportedSpaceError


def test_sizes():
    agent = GymAgent("Pendulum-v1")
    assert (agent.observation_size, agent.action_size) == (3, 1)
    assert GymAgent("CartPole-v1").action_size == 2
    assert GymAgent(lambda: SpaceEnv(gym.spaces.Discrete(3, start=1))).observation_choices == [[1, 3]]
    with pytest.raises(UnsupportedSpaceError, match="not a vector"):
        _ = GymAgent(lambda: SpaceEnv(gym.spaces.Box(0, 1, (3, 3)))).observation_size
