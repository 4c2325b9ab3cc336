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
    env = SearchlightEnv(continuous=continuous)
    returns = [sum(episode(env, lambda _: env.best_action(), seed)) for seed in range(200)]
    assert np.mean(returns) == pytest.approx(18.5, abs=0.4) and min(returns) > 14.9


def test_rewards_are_cosines_by_hand():
    env = SearchlightEnv(turn=np.pi / 2, max_steps=4)
    env.reset(seed=0)
    env.light, env.bearings, env.ship = 0.0, np.array([np.pi, np.pi / 3, -np.pi / 3]), 1
    rewards = [env.step(action)[1] for action in (0, 1, 1, 2)]
    np.testing.assert_allclose(rewards, np.cos(np.array([0, np.pi / 2, np.pi, np.pi / 2]) - np.pi / 3))
    assert env.best_action() == 0 and env.light == pytest.approx(np.pi / 2)


def test_the_sum_of_the_cosines_to_all_ships_is_0_and_ships_are_at_equal_angles():
    env = SearchlightEnv()
    for seed in range(20):
        env.reset(seed=seed)
        assert np.cos(env.light - env.bearings).sum() == pytest.approx(0, abs=1e-12)
    assert len({tuple(np.argsort(env.reset(seed=seed) and env.bearings % 7)) for seed in range(60)}) > 2


def test_the_chart_has_each_ship_at_its_bearing_in_a_channel_of_its_own():
    bearings = np.array([0.0, np.pi / 2, np.pi])
    picture = chart(bearings)
    assert picture.shape == (3, 12, 12) and picture.dtype == np.uint8
    for channel, bearing in zip(picture.astype(float), bearings, strict=True):
        across = (channel.sum(0) * (np.arange(12) - 5.5)).sum()
        up = -(channel.sum(1) * (np.arange(12) - 5.5)).sum()
        assert np.cos(np.arctan2(up, across) - bearing) > 0.999


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
