"""Tests of BitFlip-v0: its bits by hand, its rewards, its contract, its pictures."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from workspace_rl import make_env
from workspace_rl.envs.simulators.bit_flip import BitFlipEnv
from workspace_rl.envs.simulators.bit_flip.drawing import CELL, ONE, WRONG, ZERO


@pytest.mark.filterwarnings("error")
def test_follows_the_gymnasium_interface():
    env = gymnasium.make("BitFlip-v0", render_mode="rgb_array")
    check_env(env.unwrapped)
    env.close()


def test_bits_by_hand():
    env = BitFlipEnv(n_bits=3)
    observation, info = env.reset(options={"bits": [0, 1, 0], "goal": [1, 1, 1]})
    assert info == {"is_success": False} and observation["desired_goal"].tolist() == [1, 1, 1]
    observation, *rest = env.step(0)
    assert observation["achieved_goal"].tolist() == observation["observation"].tolist() == [1, 1, 0]
    assert rest == [-1, False, False, {"is_success": False}]
    assert env.step(2)[1:] == (0, True, False, {"is_success": True})
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    env.reset(options={"bits": [0, 1, 0], "goal": [1, 1, 1]})
    assert [env.step(1)[1:4] for _ in range(3)] == [(-1, False, False)] * 2 + [(-1, False, True)]
    env.reset()
    with pytest.raises(ValueError, match="0 to 2"):
        env.step(3)


def test_begins_otherwise_than_it_is_to_end_and_follows_seeds():
    env = BitFlipEnv(n_bits=2)

    def starts(seed):
        first = [env.reset(seed=seed)[0]] + [env.reset()[0] for _ in range(90)]
        return [(tuple(one["observation"].tolist()), tuple(one["desired_goal"].tolist())) for one in first]

    assert starts(3) == starts(3) != starts(4) and all(bits != goal for bits, goal in starts(3))
    assert len({*starts(3)}) == 12  # all that there are


def test_rewards_of_many_goals_at_once():
    env = BitFlipEnv(n_bits=2)
    bits = np.array([[[0, 0], [0, 1]]] * 2, np.int8)
    assert env.compute_reward(bits, np.zeros_like(bits), [{}] * 2).tolist() == [[0, -1]] * 2


def test_pictures_show_what_is_wrong():
    env = make_env("BitFlip-v0", n_bits=2, render_mode="rgb_array")
    env.reset(options={"bits": [1, 0], "goal": [1, 1]})
    picture, middle = env.render(), CELL // 2
    assert picture.shape == (3 * CELL, 2 * CELL, 3)
    assert [tuple(picture[row * CELL + middle, CELL + middle]) for row in range(3)] == [ZERO, WRONG, ONE]
    assert tuple(picture[middle, middle]) == ONE != tuple(picture[CELL + middle, middle]) != WRONG


@pytest.mark.parametrize(
    ("arguments", "message"), [({"n_bits": 0}, "n_bits: at least 1"), ({"render_mode": "human"}, "rgb")]
)
def test_impossible_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        BitFlipEnv(**arguments)
