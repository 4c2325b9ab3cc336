"""KeepComponents: what it shows, its spaces, and what it refuses."""

import gymnasium as gym
import numpy as np
import pytest

from workspace_rl import GymAgent, Workspace
from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.config.make_env_agent import make_env_agent
from workspace_rl.envs import KeepComponents
from workspace_rl.errors import ConfigError, UnsupportedSpaceError


def test_it_shows_what_is_kept_in_this_order_and_changes_nothing_else():
    whole, kept = gym.make("CartPole-v1"), KeepComponents(gym.make("CartPole-v1", render_mode="rgb_array"), [2, 0])
    space = whole.observation_space
    assert kept.observation_space == gym.spaces.Box(space.low[[2, 0]], space.high[[2, 0]], dtype=np.float32)
    observations, infos = zip(whole.reset(seed=3), kept.reset(seed=3), strict=True)
    np.testing.assert_array_equal(observations[1], observations[0][[2, 0]])
    assert infos == ({}, {})
    for _ in range(5):
        (seen, *rest), (shown, *same) = whole.step(1), kept.step(1)
        np.testing.assert_array_equal(shown, seen[[2, 0]])
        assert shown in kept.observation_space and rest == same
    assert kept.render().ndim == 3
    assert gym.make(kept.spec).observation_space == kept.observation_space


def test_other_numbers_keep_their_dtype():
    class Counters(gym.Env):
        observation_space = gym.spaces.Box(np.array([0, 1, 2]), np.array([5, 6, 7]), dtype=np.int64)

    assert KeepComponents(Counters(), (np.int64(1),)).observation_space == gym.spaces.Box(1, 6, (1,), np.int64)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_a_configuration_names_it(vectorization):
    wrapper = {"classname": "workspace_rl.envs.KeepComponents", "components": [0, 1]}
    config = EnvironmentConfig("Pendulum-v1", wrappers=[wrapper], vectorization=vectorization)
    config.check("gym_env.")
    env_agent = make_env_agent(config, 2, auto_reset=True, seed=1)
    workspace, unhidden = Workspace(), Workspace()
    env_agent(workspace, t=0)
    env_agent.close()
    GymAgent("Pendulum-v1", 2, seed=1)(unhidden, t=0)
    assert env_agent.observation_size == 2
    assert workspace["env/env_obs"].equal(unhidden["env/env_obs"][..., :2])


@pytest.mark.parametrize(
    ("components", "message"),
    [
        ([0, 3], r"whole numbers from 0 to 2 expected, 3 found: the observation has 3 components"),
        ([-1], "-1 found"),
        ([0.0], "0.0 found"),
        ([True], "True found"),
        ([], "at least one number"),
        ([1, 1], r"each once, expected, \[1, 1\] found"),
    ],
)
def test_components_that_are_none_are_refused(components, message):
    with pytest.raises(ConfigError, match=message):
        KeepComponents(gym.make("Pendulum-v1"), components)
    wrapper = {"classname": "workspace_rl.envs.KeepComponents", "components": components}
    with pytest.raises(ConfigError, match=rf"gym_env.wrappers\[0\]: .*{message}"):
        make_env_agent(EnvironmentConfig("Pendulum-v1", wrappers=[wrapper]), 1, auto_reset=True)


def test_what_is_no_vector_is_refused():
    with pytest.raises(UnsupportedSpaceError, match="vectors expected, Discrete.*FlattenObservation"):
        KeepComponents(gym.make("FrozenLake-v1"), [0])
