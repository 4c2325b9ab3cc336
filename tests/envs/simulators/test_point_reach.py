"""Tests of PointReach-v0: its motion by hand, its rewards, its contract, its pictures."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from workspace_rl import make_env
from workspace_rl.envs.simulators.point_reach import PointReachEnv
from workspace_rl.envs.simulators.point_reach.drawing import GOAL, POINT, SIZE


@pytest.mark.filterwarnings("error")
def test_follows_the_gymnasium_interface():
    env = gymnasium.make("PointReach-v0", render_mode="rgb_array")
    check_env(env.unwrapped)
    env.close()


def test_motion_by_hand():
    env = PointReachEnv()
    start, info = env.reset(options={"place": [0.5, 0.99], "goal": [-0.5, 0]})
    assert info == {"is_success": False} and start["desired_goal"].tolist() == [-0.5, 0]
    observation, reward, terminated, truncated, _ = env.step(np.array([-1.0, 0.5]))
    # 0.01 to the left, and 0.005 up; half and a quarter of what is left of it by the next step.
    assert np.allclose(observation["observation"], [0.49, 0.995, -0.1, 0.05]) and reward == -1
    assert np.array_equal(observation["achieved_goal"], observation["observation"][:2])
    observation, *_ = env.step(np.array([-2.0, 1.0]))  # counts as -1; and into the wall
    assert np.allclose(observation["observation"], [0.471, 1, -0.19, 0])
    assert not terminated and not truncated


def test_it_ends_at_the_goal_or_after_its_steps():
    env = PointReachEnv(max_steps=3)
    env.reset(options={"place": [0, 0], "goal": [0.055, 0]})
    found = [env.step(np.array([1.0, 0.0]))[1:] for _ in range(2)]  # 0.01, 0.029: 0.026 before the goal
    assert found == [(-1, False, False, {"is_success": False}), (0, True, False, {"is_success": True})]
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(2))
    env.reset(options={"place": [0, 0], "goal": [0.5, 0]})
    assert [env.step(np.zeros(2))[1:4] for _ in range(3)] == [(-1, False, False)] * 2 + [(-1, False, True)]


def test_begins_far_from_the_goal_and_follows_seeds():
    env = PointReachEnv()

    def starts(seed):
        first = [env.reset(seed=seed)[0]] + [env.reset()[0] for _ in range(30)]
        return np.array([[*one["achieved_goal"], *one["desired_goal"]] for one in first])

    found = starts(3)
    assert np.array_equal(found, starts(3)) and not np.array_equal(found, starts(4))
    assert (np.hypot(*(found[:, :2] - found[:, 2:]).T) >= 0.5).all() and (np.abs(found) <= 1).all()


def test_rewards_of_many_goals_at_once():
    env = PointReachEnv(radius=0.1)
    places, goals = np.zeros((2, 3, 2)), np.array([[[0.06, 0.08], [0.1, 0.1], [0, 0]]] * 2)
    assert env.compute_reward(places, goals, [{}] * 2).tolist() == [[0, -1, 0]] * 2
    assert env.compute_terminated(places[0], goals[0], {}).tolist() == [True, False, True]


def test_pictures_show_point_and_goal():
    env = make_env("PointReach-v0", render_mode="rgb_array")
    env.reset(options={"place": [0.5, 0.5], "goal": [-0.5, -0.5]})
    picture = env.render()
    quarter, three = SIZE // 4, 3 * SIZE // 4
    assert picture.shape == (SIZE, SIZE, 3) and picture.dtype == np.uint8
    assert tuple(picture[quarter, three]) == POINT and tuple(picture[three, quarter]) == GOAL


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"radius": 0}, "radius: more than 0"),
        ({"max_steps": 0}, "max_steps: at least 1"),
        ({"render_mode": "human"}, "rgb_array"),
    ],
)
def test_impossible_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        PointReachEnv(**arguments)
