"""What BBRL makes of an environment's observations, whatever the environment's space says, and what it hands to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from workspace_rl.errors import EnvironmentContractError

# ---- observations -------------------------------------------------------------------------------------------------


def observation_parts(observation: Any, space: Any, name: str = "env_obs") -> dict[str, Any]:
    """Return the parts of one environment's observation by their variables' names, `<name>/<key>` within dictionaries.

    Keys are those that the environment gave. The space only tells tuples that stand for several parts from vectors.
    """
    if isinstance(observation, dict):
        items = observation.items()
    elif isinstance(observation, tuple) and not _is_vector(observation, space):
        items = dict(enumerate(observation)).items()
    else:
        return {name: list(observation) if isinstance(observation, tuple) else observation}
    spaces = getattr(space, "spaces", None)
    parts: dict[str, Any] = {}
    for key, part in items:
        parts |= observation_parts(part, _part_of(spaces, key), f"{name}/{key}")
    return parts


def _part_of(spaces: Any, key: Any) -> Any:
    if isinstance(spaces, Mapping):
        return spaces.get(key)
    return spaces[key] if isinstance(spaces, tuple) and key in range(len(spaces)) else None


def _is_vector(observation: tuple[Any, ...], space: Any) -> bool:
    return not isinstance(space, gym.spaces.Tuple) and all(isinstance(one, Number) for one in observation)


def in_one_batch(values: Sequence[Any], name: str) -> Tensor:
    """Return the same part of all environments' observations as one tensor `[B, ...]` in BBRL's dtypes.

    Floats become float32, arrays and lists of anything else int64, tensors of integers stay what they are.

    Raises:
        EnvironmentContractError: a value is nothing that BBRL takes.
    """
    first = values[0]
    if isinstance(first, np.ndarray) and all(
        isinstance(one, np.ndarray) and one.shape == first.shape and one.dtype == first.dtype for one in values
    ):
        # At once what the other way does one by one.
        array = np.stack(values)
        dtype = np.float32 if array.dtype in (np.float32, np.float64) else np.int64
        return torch.from_numpy(array.astype(dtype, copy=False))
    return torch.cat([_one_frame(value, name) for value in values])


def _one_frame(value: Any, name: str) -> Tensor:
    """Return one value as `[1, ...]`."""
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.array(value))
    elif isinstance(value, list):
        value = torch.tensor(value)
    elif isinstance(value, Tensor):
        return (value.float() if value.is_floating_point() else value).unsqueeze(0)
    elif isinstance(value, bool | int | float):
        return torch.tensor([value], dtype=torch.float32 if isinstance(value, float) else None)
    elif hasattr(value, "__array__"):  # NumPy's scalars, frames that are put together when they are read
        return torch.from_numpy(np.array(value)).unsqueeze(0).float()
    else:
        raise EnvironmentContractError(
            f"{name!r}, of an observation, is a {type(value).__name__}: arrays, tensors, lists, numbers, and "
            "dictionaries of them can be written into a workspace."
        )
    tensor: Tensor = value.float() if value.dtype in (torch.float32, torch.float64) else value.long()
    return tensor.unsqueeze(0)


def kept(value: Any) -> Any:
    """Return a copy of a part of an observation, which its environment may change later."""
    return value.copy() if isinstance(value, np.ndarray) else value.clone() if isinstance(value, Tensor) else value


# ---- actions ------------------------------------------------------------------------------------------------------


def actions_of_each(action: Tensor | dict[str, Any], n_envs: int) -> list[Any]:
    """Return what each environment is given: Python's integers for `[B]`, arrays of float64 or integers for more.

    Raises:
        AssertionError: numbers `[B]` are no integers.
    """
    if isinstance(action, dict):
        parts = {key: actions_of_each(part, n_envs) for key, part in action.items()}
        return [{key: part[k] for key, part in parts.items()} for k in range(n_envs)]
    values = action.tolist()
    if action.ndim == 1:
        if action.is_floating_point():
            raise AssertionError(f"{values} are not integers, as an action [B] must hold.")
        return values
    return list(np.array(values))
