"""What an environment must return, and the error that says which part of it is wrong."""

from __future__ import annotations

import itertools
import numbers
import re
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np

from workspace_rl.errors import EnvironmentContractError, EnvironmentFailedError

#: Types of (reward, terminated, truncated, info) that need no closer look; looking them up costs 0.1 µs.
USUAL_TYPES = frozenset(
    itertools.product((float, np.float64, np.float32, int), (bool, np.bool_), (bool, np.bool_), (dict,))
)


#: What an error says of a `reset` that does not take its arguments.
_RESET_ARGUMENTS = re.compile(
    r"reset\(\) (got an unexpected keyword argument|missing \d+ required|takes (no|\d+|from) .*argument)"
)


def check_made(env: Any) -> None:
    """Raise an `EnvironmentContractError` unless `env` is an environment of gymnasium with spaces of gymnasium."""
    if not isinstance(env, gym.Env):
        raise EnvironmentContractError(
            f"the function that makes it must return a gymnasium.Env, {described(env)} found. If it was written for "
            "the old package gym, derive it from gymnasium's class. A vector environment is given itself, not made."
        )
    for name in ("observation_space", "action_space"):
        space = getattr(env, name, None)
        if not isinstance(space, gym.Space):
            raise EnvironmentContractError(
                f"its {name} must be one of gymnasium.spaces, {described(space)} found. If it was written for the old "
                "package gym, import gymnasium as gym."
            )


def check_reset(outcome: Any, space: gym.Space[Any]) -> None:
    """Raise an `EnvironmentContractError` unless `outcome` is what `reset` must return for this observation space."""
    check_reset_values(outcome)
    check_observation(outcome[0], space)


def check_reset_values(outcome: Any, *, any_info: bool = False) -> None:
    """Raise an `EnvironmentContractError` unless `outcome` is what `reset` must return, the observation aside.

    With `any_info` the info may be anything: wrappers of vector environments make lists of them.
    """
    if not isinstance(outcome, tuple | list) or len(outcome) != 2:
        raise EnvironmentContractError(
            f"its reset must return (observation, info), {described(outcome)} found. If it was written for the old "
            "package gym, return an empty dictionary as well."
        )
    if not any_info:
        _check_info(outcome[1])


def kept_info(info: Any) -> dict[str, Any]:
    """Return what of an environment's info goes on: nothing, so that whatever stands there matters to nobody.

    All infos pass here and nowhere else, in the environment's own process.
    """
    return {}


def check_step(outcome: Any) -> None:
    """Raise an `EnvironmentContractError` unless `outcome` is what `step` must return, the observation aside."""
    check_step_values(outcome)
    _, reward, terminated, truncated, info = outcome
    if (type(reward), type(terminated), type(truncated), type(info)) in USUAL_TYPES:
        return
    if not _is_real(reward):
        raise EnvironmentContractError(f"its reward must be one real number, {described(reward)} found.")
    for name, value in (("terminated", terminated), ("truncated", truncated)):
        if not (_is_real(value) and value in (0, 1)):
            raise EnvironmentContractError(f"its {name!r} must be True or False, {described(value)} found.")


def check_step_values(outcome: Any, *, any_info: bool = False) -> None:
    """Raise an `EnvironmentContractError` unless `outcome` is as many values as `step` must return, and an info.

    With `any_info` the info may be anything.
    """
    if not isinstance(outcome, tuple | list) or len(outcome) != 5:
        raise EnvironmentContractError(
            "its step must return (observation, reward, terminated, truncated, info), "
            f"{described(outcome)} found. If it was written for the old package gym, which returned 4 values, split "
            "its 'done' into terminated (the task is over) and truncated (it was cut, as by a time limit)."
        )
    if not any_info:
        _check_info(outcome[4])


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
        _check_leaf(observation, space, name, batch)


def _check_leaf(value: Any, space: gym.Space[Any], name: str, batch: tuple[int, ...]) -> None:
    shape, dtype = (*batch, *(space.shape or ())), np.dtype(space.dtype)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError):  # rows of different lengths; a tensor on another device
        array = None
    if array is None or array.shape != shape or not _same_kind(value, array, dtype):
        typed = array is not None and array.shape == shape and hasattr(value, "dtype")
        way_out = f" Or return it as {dtype}: observation.astype(numpy.{dtype})." if typed else ""
        raise EnvironmentContractError(
            f"its observation {name!r} must be {dtype} of shape {list(shape)}, as its observation space says, "
            f"{described(value)} found. Correct the environment's observation_space, or its observation.{way_out}"
        )
    if array.size and dtype.kind in "iub" and not np.can_cast(array.dtype, dtype):
        least, most = limits(dtype)
        outside = (array < least) | (array > most)
        if outside.any():
            place = [int(one) for one in np.argwhere(outside)[0]]
            at = f" at {place[len(batch) :]}" if array.ndim > len(batch) else ""
            error = EnvironmentContractError(
                f"its observation {name!r} holds {array[tuple(place)]}{at}, but {dtype}, as its observation space "
                f"says, holds {least} to {most}. Declare a wider dtype in the environment's observation_space, or "
                "return numbers that it holds."
            )
            error.index = place[0] if batch else None
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


def failure(error: BaseException, index: int | None = None) -> EnvironmentFailedError:
    """Return the error that says that environment `index` raised `error`, which it is if it says so already."""
    if isinstance(error, EnvironmentFailedError):
        failed = error
    elif isinstance(error, TypeError) and _RESET_ARGUMENTS.search(str(error)):
        failed = EnvironmentContractError(
            f"its reset must take a seed and options ({error}): write reset(self, *, seed=None, options=None), and "
            "return (observation, info). If it was written for the old package gym, its random numbers must come from "
            "the seed as well: super().reset(seed=seed) and self.np_random."
        )
        failed.__cause__ = error
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


def _check_info(info: Any) -> None:
    if not isinstance(info, dict):
        raise EnvironmentContractError(f"its 'info' must be a dictionary, {described(info)} found.")


def _is_real(value: Any) -> bool:
    if isinstance(value, numbers.Real | np.bool_):
        return True
    array = value if hasattr(value, "dtype") and getattr(value, "shape", None) == () else None
    return array is not None and np.asarray(array).dtype.kind in "biuf"


def described(value: Any) -> str:
    """Return a value's type, and its shape and dtype or its length or itself, in short."""
    kind = type(value).__name__
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        attached = " with gradients, which must be detached," if getattr(value, "requires_grad", False) is True else ""
        return f"{kind} {value.dtype} of shape {list(value.shape)}{attached}"
    if isinstance(value, tuple | list | Mapping):
        return f"a {kind} of {len(value)}"
    text = repr(value)
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({kind})"
