"""Tests of TMaze-v0: transitions by hand, its returns, its contract, its pictures."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from workspace_rl import GymAgent, Workspace, make_env
from workspace_rl.envs.simulators.t_maze import TMazeEnv
from workspace_rl.envs.simulators.t_maze.drawing import CELL, FLOOR, REWARD, SIGN, WALKER

NORTH, EAST, SOUTH, WEST = range(4)


def play(env, actions, sign):
    """Return the rows `(sign seen, junction, reward, terminated, truncated)` of an episode."""
    rows = [(*env.reset(options={"sign": sign})[0].tolist(), 0.0, False, False)]
    for action in actions:
        observation, *rest, info = env.step(action)
        assert info == {}
        rows.append((*observation.tolist(), *rest))
    return rows


def mean_return(player, n=200):
    """Return the mean return of a player that sees an episode's observations so far, and the share above 0.5."""
    env, returns = make_env("TMaze-v0"), []
    for seed in range(n):
        seen, total, over = [env.reset(seed=seed)[0]], 0.0, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(player(seen))
            seen.append(observation)
            total, over = total + reward, terminated or truncated
        returns.append(total)
    return np.mean(returns), np.mean(np.array(returns) > 0.5)


@pytest.mark.filterwarnings("error")
def test_follows_the_gymnasium_interface():
    env = gymnasium.make("TMaze-v0", render_mode="rgb_array")
    check_env(env.unwrapped)
    env.close()


def test_transitions_by_hand():
    env = TMazeEnv(length=2, max_steps=10)
    # Into three walls, forth, back (the sign is gone), forth to the junction, into its wall, and north.
    actions = [NORTH, SOUTH, WEST, EAST, WEST, EAST, EAST, EAST, NORTH]
    assert play(env, actions, sign=1) == [
        (1.0, 0.0, 0.0, False, False),
        (0.0, 0.0, -0.05, False, False),
        (0.0, 0.0, -0.05, False, False),
        (0.0, 0.0, -0.05, False, False),
        (0.0, 0.0, 0.0, False, False),
        (0.0, 0.0, 0.0, False, False),
        (0.0, 0.0, 0.0, False, False),
        (0.0, 1.0, 0.0, False, False),
        (0.0, 1.0, -0.05, False, False),
        (0.0, 0.0, 1.0, True, False),
    ]
    assert play(env, [EAST, EAST, NORTH], sign=-1)[-1] == (0.0, 0.0, 0.0, True, False)
    assert play(env, [EAST, EAST, SOUTH], sign=-1)[0] == (-1.0, 0.0, 0.0, False, False)
    assert play(env, [EAST, EAST, SOUTH], sign=-1)[-1] == (0.0, 0.0, 1.0, True, False)
    # Back from the junction it is a corridor like any other.
    assert play(env, [EAST, EAST, WEST, NORTH], sign=1)[3:] == [
        (0.0, 0.0, 0.0, False, False),
        (0.0, 0.0, -0.05, False, False),
    ]


def test_an_episode_is_cut_after_its_steps_and_turning_in_the_last_one_terminates():
    env = TMazeEnv(length=1, max_steps=3)
    cost = pytest.approx(-0.5 / 3)
    assert play(env, [WEST, WEST, WEST], 1)[1:] == [(0, 0, cost, False, False)] * 2 + [(0, 0, cost, False, True)]
    assert play(env, [WEST, EAST, NORTH], 1)[-1] == (0, 0, 1.0, True, False)
    assert (TMazeEnv().length, TMazeEnv().max_steps, TMazeEnv(length=3).max_steps) == (10, 100, 30)


def test_returns_tell_which_arm_was_taken_whatever_was_done_before():
    env = TMazeEnv(length=1, max_steps=50)
    slow = [WEST] * 48 + [EAST]
    assert sum(row[2] for row in play(env, [*slow, NORTH], 1)) == pytest.approx(1 - 0.48)
    assert sum(row[2] for row in play(env, [*slow, SOUTH], 1)) < 0
    assert sum(row[2] for row in play(env, [WEST] * 50, 1)) == pytest.approx(-0.5)


def test_who_remembers_gets_the_best_return_and_who_does_not_half_of_it():
    def remembers(seen):
        return EAST if not seen[-1][1] else NORTH if seen[0][0] == 1 else SOUTH

    assert mean_return(remembers) == (1.0, 1.0)
    for turn in (NORTH, SOUTH):
        mean, share = mean_return(lambda seen, turn=turn: turn if seen[-1][1] else EAST)
        assert mean == share and 0.4 < mean < 0.6


def test_signs_follow_seeds():
    def signs(seed):
        env = TMazeEnv()
        return [env.reset(seed=seed)[0][0]] + [env.reset()[0][0] for _ in range(20)]

    assert signs(3) == signs(3) and signs(3) != signs(4)
    assert {*signs(3)} == {-1.0, 1.0}


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_it_is_an_agent_like_others(vectorization):
    env_agent = GymAgent("TMaze-v0", 3, env_args={"length": 4}, vectorization=vectorization, seed=1)
    workspace = Workspace()
    env_agent(workspace, t=0)
    assert (env_agent.observation_size, env_agent.action_space.n) == (2, 4)
    assert (workspace.get("env/env_obs", 0)[:, 0].abs() == 1).all()
    env_agent.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "length: at least 1 step"),
        ({"length": 5, "max_steps": 5}, "max_steps: more than 5 steps expected, 5 found"),
        ({"render_mode": "human"}, "'human' found"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TMazeEnv(**arguments)


def test_bad_use_is_refused():
    env = TMazeEnv(length=1, render_mode="rgb_array")
    for use in (env.render, lambda: env.step(EAST)):
        with pytest.raises(gymnasium.error.ResetNeeded):
            use()
    with pytest.raises(ValueError, match="sign"):
        env.reset(options={"sign": 0})
    env.reset(seed=0)
    with pytest.raises(ValueError, match="must be 0, 1, 2 or 3, got 4"):
        env.step(4)
    env.step(EAST)
    env.step(NORTH)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(NORTH)
    with pytest.warns(UserWarning, match="render_mode"):
        assert TMazeEnv().render() is None


def cells_of(picture, colour):
    """Return the cells (row, column) where a colour is."""
    rows, columns = np.nonzero((picture == colour).all(axis=2))
    return {*zip((rows // CELL).tolist(), (columns // CELL).tolist(), strict=True)}


@pytest.mark.parametrize(("sign", "up", "turn"), [(1, 0, NORTH), (-1, 2, SOUTH)])
def test_pictures_show_walker_sign_and_reward(sign, up, turn):
    env = TMazeEnv(length=3, render_mode="rgb_array")
    env.reset(options={"sign": sign})
    picture = env.render()
    assert picture.shape == (3 * CELL, 4 * CELL, 3) and picture.dtype == np.uint8
    assert cells_of(picture, WALKER) == {(1, 0)} and cells_of(picture, REWARD) == {(up, 3)}
    assert cells_of(picture, SIGN) == {(up, 0)}
    assert cells_of(picture, FLOOR) == {(1, 0), (1, 1), (1, 2), (1, 3), (2 - up, 3)}
    widths = (picture[up * CELL : (up + 1) * CELL] == SIGN).all(axis=2).sum(axis=1)
    widths = widths[widths > 0][::sign]
    assert widths[0] < 4 < 16 < widths[-1]  # its tip points where the reward is
    for action in (EAST, EAST, EAST, turn):
        env.step(action)
        assert cells_of(env.render(), SIGN) == set()
    assert cells_of(env.render(), WALKER) == {(up, 3)}
