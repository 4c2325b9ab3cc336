"""Spaces of observations and actions that are not supported, and the ways out."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from tests.envs.odd_environments import OwnVector, play
from tests.toys import SpaceEnv
from workspace_rl import GymAgent
from workspace_rl.envs.vector.make_vector_env import make_vector_env
from workspace_rl.errors import UnsupportedSpaceError

BOX = spaces.Box(-1, 1, (2,), np.float32)


class OwnSpace(gym.Space):
    def __repr__(self):
        return "OwnSpace()"

    def sample(self, mask=None):
        return 0


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize(
    ("space", "leaf", "wrapper"),
    [
        (spaces.Text(3), "env_obs", "TransformObservation"),
        (spaces.Dict(a=BOX, mission=spaces.Text(3)), "env_obs/mission", r"FilterObservation\(env, \['a'\]\)"),
        (spaces.Tuple([BOX, spaces.Text(3), BOX]), "env_obs/1", r"FilterObservation\(env, \[0, 2\]\)"),
        (spaces.Dict(a=spaces.Dict(b=spaces.Text(3)), c=BOX), "env_obs/a/b", r"FilterObservation\(env, \['c'\]\)"),
        (spaces.Dict(a=spaces.Text(3)), "env_obs/a", "TransformObservation"),
        (spaces.Sequence(BOX), "env_obs", "TransformObservation"),
        (spaces.Graph(BOX, None), "env_obs", "TransformObservation"),
        (spaces.OneOf([BOX, spaces.Discrete(2)]), "env_obs", "TransformObservation"),
        (OwnSpace((), np.float32), "env_obs", "TransformObservation"),
        (spaces.Dict(), "env_obs", "TransformObservation"),
        (spaces.Tuple([]), "env_obs", "TransformObservation"),
        (spaces.Dict(a=BOX, b=spaces.Dict()), "env_obs/b", r"FilterObservation\(env, \['a'\]\)"),
        (spaces.Box(-1, 1, (0,)), "env_obs", "TransformObservation"),
        (spaces.Dict(a=BOX, b=spaces.Box(-1, 1, (3, 0))), "env_obs/b", r"FilterObservation\(env, \['a'\]\)"),
        (spaces.Box(-1, 1, (2,), np.longdouble), "env_obs", "DtypeObservation"),
    ],
    ids=str,
)
def test_observations_that_cannot_be_written_name_the_leaf_and_the_wrapper_that_removes_it(space, leaf, wrapper, way):
    with pytest.raises(UnsupportedSpaceError, match=f"at '{leaf}'.*Wrap the environment .*{wrapper}"):
        GymAgent(lambda: SpaceEnv(space), 2, vectorization=way)
    if way == "sync":
        with pytest.raises(UnsupportedSpaceError, match=f"at '{leaf}'.*{wrapper}"):
            GymAgent(OwnVector(observation_space=space))


def test_the_wrapper_that_is_named_helps():
    space = spaces.Dict(a=BOX, mission=spaces.Text(3))
    agent = GymAgent(lambda: gym.wrappers.FilterObservation(SpaceEnv(space), ["a"]), 2)
    assert next(iter(play(agent))) == "env/env_obs/a"


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 5, (2,), np.uint8),
        spaces.Text(3),
        spaces.Dict(a=BOX),
        spaces.Tuple([BOX]),
        spaces.Graph(BOX, None),
        spaces.Sequence(BOX),
        spaces.OneOf([BOX]),
        spaces.Box(-1, 1, (0,)),
        spaces.Box(-np.inf, np.inf, (1,)),
        spaces.Box(0, np.inf, (1,)),
        OwnSpace((), np.float32),
    ],
    ids=str,
)
@pytest.mark.parametrize("way", ["sync", "async"])
def test_actions_that_are_not_supported_name_the_way_out(space, way):
    with pytest.raises(UnsupportedSpaceError, match=r"gymnasium.wrappers.\w*Action"):
        GymAgent(lambda: SpaceEnv(BOX, space), 2, vectorization=way)
    with pytest.raises(UnsupportedSpaceError, match=r"gymnasium.wrappers.\w*Action"):
        GymAgent(OwnVector(action_space=space))


@pytest.mark.parametrize("start", [-5, 3])
def test_choices_that_start_elsewhere(start):
    env = SpaceEnv(spaces.Discrete(3, start=start), spaces.Discrete(2, start=start))
    assert make_vector_env(lambda: env, 1, True, None, (), {}) is not None
    workspace = play(GymAgent(lambda: env), 9)
    assert {int(one) for one in workspace["env/env_obs"].flatten()} <= set(range(start, start + 3))
    assert {int(one) for one in env.actions} <= {start, start + 1}
    assert {int(one) for one in workspace["action"].flatten()} <= {0, 1}
