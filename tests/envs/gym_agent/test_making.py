"""What environments can be made of."""

import gymnasium as gym
import pytest

from workspace_rl import GymAgent
from workspace_rl.errors import CompositionError


def test_bad_arguments():
    with pytest.raises(CompositionError, match="n_envs: at least 1 expected, 0"):
        GymAgent("CartPole-v1", 0)
    with pytest.raises(CompositionError, match="'parallel'"):
        GymAgent("CartPole-v1", vectorization="parallel")
    with pytest.raises(CompositionError, match="no vector entry point"):
        GymAgent("Pendulum-v1", vectorization="vector_entry_point")
    same_step = gym.make_vec(
        "CartPole-v1",
        1,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP},
    )
    with pytest.raises(CompositionError, match="NEXT_STEP"):
        GymAgent(same_step)
    with pytest.raises(CompositionError, match="give its id, or a function"):
        GymAgent(gym.make("CartPole-v1"))
    with pytest.raises(CompositionError, match="brings its number of environments"):
        GymAgent(gym.make_vec("CartPole-v1", 2), 7)
