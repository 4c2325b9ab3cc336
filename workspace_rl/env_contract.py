"""What an environment must return, and the error that says which part of it is wrong."""

from __future__ import annotations

import itertools
import numbers
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np

from workspace_rl.errors import EnvironmentContractError, EnvironmentFailedError

#: Types of (reward, terminated, truncated, info) that need no closer look; looking them up costs 0.1 µs.
USUAL_TYPES = frozenset(
    itertools.product((float, np.float64, np.float32, int), (bool, np.bool_), (bool, np.bool_), (dict,))
)


def check_reset(outcome: Any, space: gym.Space[Any]) -> None:
    """Raise an `EnvironmentContractError` unless `outcome` is what `reset` must return for this observation space."""
    if not isinstance(outcome, tuple | list) or len(outcome) != 2:
        raise EnvironmentContractError(
            f"its reset must return (observation, info), {_shown(outcome)} found. If it was written for the old "
            "package gym, return an empty dictionary as well."
        )
    check_observation(outcome[0], space)
    _check_info(outcome[1])


def check_step(outcome: Any) -> None:
    """Raise an `EnvironmentContractError` unless `outcome` is what `step` must return, the observation aside."""
    if not isinstance(outcome, tuple | list) or len(outcome) != 5:
        raise EnvironmentContractError(
            "its step must return (observation, reward, terminated, truncated, info), "
            f"{_shown(outcome)} found. If it was written for the old package gym, which returned 4 values, split its "
            "'done' into terminated (the task is over) and truncated (it was cut, as by a time limit)."
        )
    _, reward, terminated, truncated, info = outcome
    if (type(reward), type(terminated), type(truncated), type(info)) in USUAL_TYPES:
        return
    if not _is_real(reward):
        raise EnvironmentContractError(f"its reward must be one real number, {_shown(reward)} found.")
    for name, value in (("terminated", terminated), ("truncated", truncated)):
        if not (_is_real(value) and value in (0, 1)):
            raise EnvironmentContractError(f"its {name!r} must be True or False, {_shown(value)} found.")
    _check_info(info)


def check_observation(observation: Any, space: gym.Space[Any], name: str = "env_obs") -> None:
    """Raise an `EnvironmentContractError` unless `observation` fits the shape and dtype of each leaf of the space.

    Numbers may be of another size than the space's (float64 for float32), not of another kind (floats for integers).
    Whether they are within the space's bounds is not looked at.
    """
    if isinstance(space, gym.spaces.Dict):
        if not isinstance(observation, Mapping) or not set(space.spaces) <= set(observation):
            found = f"keys {sorted(map(str, observation))}" if isinstance(observation, Mapping) else _shown(observation)
            raise EnvironmentContractError(
                f"its observation {name!r} must be a dictionary with the keys {sorted(space.spaces)}, {found} found."
            )
        for key, part in space.spaces.items():
            check_observation(observation[key], part, f"{name}/{key}")
    elif isinstance(space, gym.spaces.Tuple):
        if not isinstance(observation, tuple | list) or len(observation) != len(space.spaces):
            raise EnvironmentContractError(
                f"its observation {name!r} must be a tuple of {len(space.spaces)}, {_shown(observation)} found."
            )
        for place, part in enumerate(space.spaces):
            check_observation(observation[place], part, f"{name}/{place}")
    elif not _fits(observation, space):
        raise EnvironmentContractError(
            f"its observation {name!r} must be {space.dtype} of shape {list(space.shape or ())}, as its observation "
            f"space says, {_shown(observation)} found. Correct the environment's observation_space, or its observation."
        )


def _fits(observation: Any, space: gym.Space[Any]) -> bool:
    try:
        array = np.asarray(observation)
    except (ValueError, TypeError):  # rows of different lengths; a tensor on another device
        return False
    return array.shape == space.shape and np.can_cast(array.dtype, space.dtype, "same_kind")


def failure(error: BaseException, index: int | None = None) -> EnvironmentFailedError:
    """Return the error that says that environment `index` raised `error`, which it is if it says so already."""
    if isinstance(error, EnvironmentFailedError):
        failed = error
    else:
        origin = traceback.extract_tb(error.__traceback__)[-1:]
        where = "".join(f" ({frame.filename}:{frame.lineno}, in {frame.name})" for frame in origin)
        failed = EnvironmentFailedError(f"it raised {type(error).__name__}: {error}{where}.")
        failed.__cause__ = error
    if failed.index is None:
        failed.index = index
    return failed


def fail(error: BaseException, index: int) -> NoReturn:
    """Raise the error that says that environment `index` raised `error`."""
    failed = failure(error, index)
    raise failed from failed.__cause__


def first_misfit(observations: Sequence[Any], space: gym.Space[Any]) -> EnvironmentContractError | None:
    """Return the error about the first of several environments' observations that does not fit, None if all do."""
    for index, observation in enumerate(observations):
        try:
            check_observation(observation, space)
        except EnvironmentContractError as error:
            error.index = index
            return error
    return None


def _check_info(info: Any) -> None:
    if not isinstance(info, dict):
        raise EnvironmentContractError(f"its 'info' must be a dictionary, {_shown(info)} found.")


def _is_real(value: Any) -> bool:
    if isinstance(value, numbers.Real | np.bool_):
        return True
    array = value if hasattr(value, "dtype") and getattr(value, "shape", None) == () else None
    return array is not None and np.asarray(array).dtype.kind in "biuf"


def _shown(value: Any) -> str:
    """Return a value's type, and its shape and dtype or its length or itself, in short."""
    kind = type(value).__name__
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{kind} {value.dtype} of shape {list(value.shape)}"
    if isinstance(value, tuple | list | Mapping):
        return f"a {kind} of {len(value)}"
    text = repr(value)
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({kind})"
