"""Searchlight-v0: a task for which a picture, a vector and a choice are all needed."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from workspace_rl.envs.simulators.searchlight import SearchlightEnv
from workspace_rl.envs.simulators.searchlight.drawing import chart


def episode(env, policy, seed):
    observation, _ = env.reset(seed=seed)
    rewards, over = [], False
    while not over:
        observation, reward, terminated, over, _ = env.step(policy(observation))
        assert not terminated
        rewards.append(reward)
    return rewards


@pytest.mark.parametrize("continuous", [False, True])
def test_gymnasium_finds_nothing_wrong_with_it(continuous):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*not within|.*Box action space", category=UserWarning)
        check_env(gym.make("Searchlight-v0", continuous=continuous, render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("continuous", [False, True])
def test_the_best_return_is_what_it_is_said_to_be(continuous):
    env, ends = SearchlightEnv(continuous=continuous), []
    for seed in range(200):
        env.reset(seed=seed)
        before = np.cos(env.light - env.bearings[env.ship])
        total = sum(episode(env, lambda _: env.best_action(), seed))
        ends.append(total + before)
    # The cosine at the beginning is 0 on average.
    assert (
        np.mean(ends) == pytest.approx(1 if continuous else 0.99, abs=0.005) and min(ends) > np.cos(np.pi / 12) - 1e-9
    )


def test_rewards_are_differences_of_cosines_by_hand():
    env = SearchlightEnv(turn=np.pi / 2, max_steps=4)
    env.reset(seed=0)
    env.light, env.bearings, env.ship = 0.0, np.array([np.pi, np.pi / 3, -np.pi / 3]), 1
    rewards = [env.step(action)[1] for action in (0, 1, 1, 2)]
    np.testing.assert_allclose(rewards, np.diff(np.cos(np.array([0, 0, 1, 2, 1]) * np.pi / 2 - np.pi / 3)), atol=1e-12)
    assert env.best_action() == 0 and env.light == pytest.approx(np.pi / 2)


def test_what_is_said_of_who_does_not_see_the_ship_that_is_asked_for():
    env, means = SearchlightEnv(), []
    for seed in range(4000):
        env.reset(seed=seed)
        means.append(np.exp(1j * env.bearings).mean())  # at best, the light is turned to where this points
    assert np.abs(means).mean() == pytest.approx(0.30, abs=0.01)
    assert abs(np.mean(means)) < 0.02


def test_ships_are_near_bearings_at_equal_angles_in_any_order():
    env, orders = SearchlightEnv(), set()
    for seed in range(200):
        env.reset(seed=seed)
        around = np.sort(env.bearings % (2 * np.pi))
        gaps = np.diff([*around, around[0] + 2 * np.pi])
        assert gaps.sum() == pytest.approx(2 * np.pi) and gaps.max() <= 4 * np.pi / 3
        orders.add((tuple(np.argsort(env.bearings - env.bearings.min())), env.ship))
    assert len(orders) == 18


def test_the_chart_has_each_ship_at_its_bearing_in_a_channel_of_its_own():
    bearings = np.array([0.0, np.pi / 2, np.pi])
    picture = chart(bearings)
    assert picture.shape == (3, 8, 8) and picture.dtype == np.uint8
    for channel, bearing in zip(picture.astype(float), bearings, strict=True):
        across = (channel.sum(0) * (np.arange(8) - 3.5)).sum()
        up = -(channel.sum(1) * (np.arange(8) - 3.5)).sum()
        assert np.cos(np.arctan2(up, across) - bearing) > 0.99


@pytest.mark.parametrize("part", ["chart", "light", "ship"])
def test_parts_are_zero_where_they_are_asked_to_be(part):
    env, whole = SearchlightEnv(zero=[part]), SearchlightEnv()
    for seed in range(4):
        seen, all_of_it = env.reset(seed=seed)[0], whole.reset(seed=seed)[0]
        seen, all_of_it = env.step(1)[0], whole.step(1)[0]
        assert env.observation_space.contains(seen) and not np.any(seen[part])
        assert all(np.array_equal(seen[key], all_of_it[key]) for key in seen if key != part)
        assert env.steps == 1


def test_equal_seeds_are_equal_episodes():
    first, second = (episode(SearchlightEnv(), lambda _: 1, 5) for _ in range(2))
    assert first == second != episode(SearchlightEnv(), lambda _: 1, 6)


def test_pictures_show_the_beam_and_the_ship_that_is_asked_for():
    env = SearchlightEnv(render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    assert before.shape == (192, 192, 3) and before.dtype == np.uint8
    env.step(1)
    assert not np.array_equal(env.render(), before)
    env.ship = (env.ship + 1) % 3
    assert not np.array_equal(env.render(), before)


def test_what_is_wrong_is_told():
    with pytest.raises(ValueError, match="zero: a list of parts, of chart, light, ship, expected, 'chart' found"):
        SearchlightEnv(zero="chart")
    with pytest.raises(ValueError, match="max_steps: at least 1 expected, 0 found"):
        SearchlightEnv(max_steps=0)
    with pytest.raises(ValueError, match="render_mode"):
        SearchlightEnv(render_mode="human")
    env = SearchlightEnv()
    for use in (lambda: env.step(0), env.best_action):
        with pytest.raises(gym.error.ResetNeeded):
            use()
    env.reset()
    with pytest.raises(ValueError, match=r"an action of Discrete\(3\) expected, 3 found"):
        env.step(3)
