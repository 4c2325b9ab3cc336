"""Integers that fit the space of an observation, and others."""

import functools

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.envs.odd_environments import WAYS, Returning, agent_of, play
from workspace_rl.errors import EnvironmentContractError

INTEGERS = [
    (spaces.Box(0, 255, (2,), np.uint8), np.array([7, 300], np.uint16), "holds 300 at [1], but uint8"),
    (spaces.Box(0, 255, (2,), np.uint8), np.array([7, -1], np.int64), "holds -1 at [1], but uint8"),
    (spaces.Box(0, 255, (2,), np.uint8), [7, 256], "holds 256 at [1], but uint8"),
    (spaces.Box(-128, 127, (1,), np.int8), np.array([200], np.uint8), "holds 200 at [0], but int8"),
    (spaces.Box(-1, 1, (1,), np.int64), np.array([2**63], np.uint64), "holds 9223372036854775808 at [0], but int64"),
    (spaces.Box(0, 9, (1,), np.uint64), np.array([-5]), "holds -5 at [0], but uint64"),
    (spaces.Box(0, 1, (1,), np.bool_), np.array([2]), "holds 2 at [0], but bool"),
    (spaces.Discrete(3, dtype=np.int8), 128, "holds 128, but int8"),
    (spaces.Discrete(3, dtype=np.int32), np.int64(2**31), "holds 2147483648, but int32"),
    (spaces.Discrete(3), 2**70, "must be int64 of shape []"),
    (spaces.MultiDiscrete([3, 3], dtype=np.int16), np.array([0, 40000]), "holds 40000 at [1], but int16"),
    (spaces.MultiBinary(2), np.array([0, 130], np.uint8), "holds 130 at [1], but int8"),
    (spaces.Box(0, 9, (1,), np.int32), np.array([1.5]), "must be int32 of shape [1]"),
    (spaces.Box(0, 9, (1,), np.int32), np.array([np.nan]), "must be int32 of shape [1]"),
    (spaces.Discrete(3), 1.5, "must be int64 of shape []"),
    (spaces.MultiDiscrete([3, 3]), np.array([0.0, np.nan]), "must be int64 of shape [2]"),
    (spaces.MultiBinary(2), np.array([0.0, 1.0]), "must be int8 of shape [2]"),
    (spaces.Box(0, 9, (1,), np.float32), np.array([1]), "found. Correct the environment's observation_space, or its"),
    (spaces.Box(0, 9, (1,), np.float32), np.array([1], np.uint8), "observation.astype(numpy.float32)"),
    (spaces.Box(0, 9, (1,), np.float32), np.array([True]), "must be float32 of shape [1]"),
]


def wrapped(space, value, inside):
    """Return a space and a value, or those of a dictionary that holds them, and how the leaf is called."""
    if not inside:
        return space, value, "'env_obs'"
    other = spaces.Box(-1, 1, (1,), np.float32)
    return (
        spaces.Dict(a=other, b=spaces.Tuple([other, space])),
        {"a": np.zeros(1, np.float32), "b": (np.zeros(1, np.float32), value)},
        "'env_obs/b/1'",
    )


#: The worker checks in all places as the other ways do.
PLACES = [
    (way, moment, inside) for way in ("sync", "vector") for moment in ("reset", "step") for inside in (False, True)
]


PLACES.append(("async", "step", True))


@pytest.mark.parametrize(("way", "moment", "inside"), PLACES)
@pytest.mark.parametrize(("space", "value", "message"), INTEGERS)
def test_numbers_that_do_not_fit_the_space_are_named(space, value, message, inside, moment, way):
    fitting = wrapped(space, np.zeros(space.shape, space.dtype), inside)[1]
    space, value, leaf = wrapped(space, value, inside)
    observations = [value] if moment == "reset" else [fitting, fitting, value]
    agent = agent_of(functools.partial(Returning, space, *observations), 2, way)
    with pytest.raises(EnvironmentContractError) as raised:
        play(agent)
    text = str(raised.value)
    assert f"its observation {leaf}" in text and message in text and "environment 0 of 2" in text


FITTING = [
    (spaces.Box(0, 255, (2,), np.uint8), np.array([7, 255], np.int64)),
    (spaces.Box(0, 255, (2,), np.uint8), [7, 255]),
    (spaces.Box(-128, 127, (1,), np.int8), np.array([100], np.uint8)),
    (spaces.Box(0, 1, (2,), np.bool_), np.array([1, 0], np.int64)),
    (spaces.Discrete(3, start=-4), np.int8(-3)),
    (spaces.Discrete(3, dtype=np.int32), 2),
    (spaces.Discrete(3), np.array(2)),
    (spaces.MultiDiscrete([3, 3], dtype=np.int16), np.array([0, 2], np.uint64)),
    (spaces.MultiBinary(2), np.array([False, True])),
    (spaces.Box(0, 9, (2,), np.float32), np.array([1.5, 2.5])),
    (spaces.Box(0, 9, (2,), np.float32), [1, 2]),
    (spaces.Box(0, 9, (2,), np.float64), np.array([1, 2], np.float32)),
    (spaces.Box(0, 9, (2,), np.float16), np.array([1, 2], np.float64)),
    (spaces.Box(0, 9, (), np.float32), 2.5),
    (spaces.Box(0, 9, (2,), np.float32), torch.tensor([1.5, 2.5])),
    (spaces.Box(0, 9, (2,), np.float32), np.array([1.5, 2.5], ">f4")),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("space", "value"), FITTING)
def test_numbers_that_fit_arrive_in_the_dtype_of_the_space(space, value, way):
    for inside in (False, True) if way != "async" else (True,):
        whole, observation, leaf = wrapped(space, value, inside)
        written = play(agent_of(functools.partial(Returning, whole, observation), 2, way), 3)[f"env/{leaf[1:-1]}"]
        expected = torch.from_numpy(np.array(np.asarray(value), space.dtype))
        assert written.dtype == (torch.float32 if space.dtype == np.float64 else expected.dtype)
        assert written.shape == (3, 2, *space.shape) and (written == expected).all()
