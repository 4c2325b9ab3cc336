"""What an observation must be to fit its space, and how it is brought into the dtypes of the space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from workspace_rl.envs.contract.failures import described
from workspace_rl.errors import EnvironmentContractError


def check_observation(
    observation: Any, space: gym.Space[Any], name: str = "env_obs", batch: tuple[int, ...] = ()
) -> None:
    """Raise an `EnvironmentContractError` unless `observation` fits the shape and dtype of each leaf of the space.

    Floats may be of another size than the space's (float64 for float32), and so may integers whose values fit. Numbers
    of another kind (floats for integers, integers for floats) do not fit; only Python's own integers stand for floats.
    Whether they are within the space's bounds is not looked at.

    Args:
        observation: of one environment, or a batch of several.
        space: of one environment.
        name: what the observation is called.
        batch: () or the size of the batch.
    """
    if isinstance(space, gym.spaces.Dict):
        if not isinstance(observation, Mapping) or not set(space.spaces) <= set(observation):
            found = (
                f"keys {sorted(map(str, observation))}" if isinstance(observation, Mapping) else described(observation)
            )
            raise EnvironmentContractError(
                f"its observation {name!r} must be a dictionary with the keys {sorted(space.spaces)}, {found} found."
            )
        for key, part in space.spaces.items():
            check_observation(observation[key], part, f"{name}/{key}", batch)
    elif isinstance(space, gym.spaces.Tuple):
        if not isinstance(observation, tuple | list) or len(observation) != len(space.spaces):
            raise EnvironmentContractError(
                f"its observation {name!r} must be a tuple of {len(space.spaces)}, {described(observation)} found."
            )
        for place, part in enumerate(space.spaces):
            check_observation(observation[place], part, f"{name}/{place}", batch)
    else:
        shape, dtype = (*batch, *(space.shape or ())), np.dtype(space.dtype)
        check_array(observation, shape, dtype, f"observation {name!r}", _SPACE, n_batch=len(batch))


class Source(NamedTuple):
    """Where it is declared what an array must be, as messages tell it."""

    says: str
    declaration: str
    owner: str
    #: What stands for the array in a line of code.
    example: str


_SPACE = Source(
    says="its observation space says",
    declaration="the environment's observation_space",
    owner="its observation",
    example="observation",
)


def check_array(
    value: Any, shape: tuple[int, ...], dtype: np.dtype[Any], what: str, source: Source, n_batch: int = 0
) -> None:
    """Raise an `EnvironmentContractError` unless `value` is, or can become, an array of a shape and dtype.

    Args:
        value: what an environment returned.
        shape: the shape that is expected, those of a batch included.
        dtype: the dtype that is expected; see `check_observation` for what fits it.
        what: what it is called in messages.
        source: where shape and dtype are declared.
        n_batch: 1 where the first dimension counts environments.
    """
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError):  # rows of different lengths; a tensor on another device
        array = None
    if array is None or array.shape != shape or not _same_kind(value, array, dtype):
        typed = array is not None and array.shape == shape and hasattr(value, "dtype")
        way_out = f" Or return it as {dtype}: {source.example}.astype(numpy.{dtype})." if typed else ""
        raise EnvironmentContractError(
            f"its {what} must be {dtype} of shape {list(shape)}, as {source.says}, {described(value)} found. Correct "
            f"{source.declaration}, or {source.owner}.{way_out}"
        )
    if array.size and dtype.kind in "iub" and not np.can_cast(array.dtype, dtype):
        least, most = limits(dtype)
        outside = (array < least) | (array > most)
        if outside.any():
            place = [int(one) for one in np.argwhere(outside)[0]]
            at = f" at {place[n_batch:]}" if array.ndim > n_batch else ""
            error = EnvironmentContractError(
                f"its {what} holds {array[tuple(place)]}{at}, but {dtype}, as {source.says}, holds {least} to {most}. "
                f"Declare a wider dtype in {source.declaration}, or return numbers that it holds."
            )
            error.index = place[0] if n_batch else None
            raise error


def _same_kind(value: Any, array: np.ndarray, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "f":
        return array.dtype.kind == "f" or (array.dtype.kind in "iu" and not hasattr(value, "dtype"))
    return array.dtype.kind in "iub"


def limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the least and the greatest number of a dtype of integers, or of bool."""
    if dtype.kind == "b":
        return 0, 1
    information = np.iinfo(dtype)
    return int(information.min), int(information.max)


def fitted(observation: Any, space: gym.Space[Any]) -> Any:
    """Return an observation that fits the space, or a batch of them, as new arrays in the space's dtypes."""
    if isinstance(space, gym.spaces.Dict):
        return {key: fitted(observation[key], part) for key, part in space.spaces.items()}
    if isinstance(space, gym.spaces.Tuple):
        return tuple(fitted(observation[place], part) for place, part in enumerate(space.spaces))
    return np.array(np.asarray(observation), dtype=space.dtype)
