"""Observations into variables: one for each leaf of a space, as arrays in the dtypes that tensors can have."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from workspace_rl.envs.spaces.advice import BY_OWN_OBSERVATIONS
from workspace_rl.errors import EnvironmentContractError, UnsupportedSpaceError

_LEAVES = gym.spaces.Box | gym.spaces.Discrete | gym.spaces.MultiDiscrete | gym.spaces.MultiBinary


def observation_leaves(space: gym.Space[Any], name: str) -> dict[str, Callable[[Any], np.ndarray]]:
    """Return for each leaf of an observation space its variable's name and a function that picks its array.

    Args:
        space: of one environment.
        name: the name of the whole; leaves of `Dict` and `Tuple` spaces are called `<name>/<key>`.

    Returns:
        Functions of a batched observation, as vector environments give it, to arrays `[B, ...]` in the space's dtype,
        float64 excepted, which becomes float32.

    Raises:
        UnsupportedSpaceError: a leaf is of a kind that has no arrays, or two leaves would have the same name.
    """
    return {leaf: _as_array(part, pick) for leaf, (part, pick) in space_leaves(space, name).items()}


def space_leaves(space: gym.Space[Any], name: str) -> dict[str, tuple[gym.Space[Any], Callable[[Any], Any]]]:
    """Return for each leaf of an observation space, by its variable's name, its space and a function that picks it.

    Raises:
        UnsupportedSpaceError: a leaf is of a kind that has no arrays.
    """
    leaves: dict[str, tuple[gym.Space[Any], Callable[[Any], Any]]] = {}
    try:
        _collect_leaves(space, name, lambda observation: observation, leaves)
    except UnsupportedSpaceError as error:
        raise UnsupportedSpaceError(f"{error} {_way_out(space)}") from None
    return leaves


def _as_array(space: gym.Space[Any], pick: Callable[[Any], Any]) -> Callable[[Any], np.ndarray]:
    if space.dtype == np.float64:
        return lambda observation: np.asarray(pick(observation), dtype=np.float32)
    return lambda observation: np.asarray(pick(observation))


def check_choices(array: np.ndarray, space: gym.Space[Any], name: str) -> None:
    """Raise an `EnvironmentContractError` if choices `[B, ...]`, called `name`, hold one that their space has not.

    Networks would be given zeros for it, without a word.
    """
    if not isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete):
        return
    count: Any = space.n if isinstance(space, gym.spaces.Discrete) else space.nvec
    wrong = (array < space.start) | (array - space.start >= count)
    if wrong.any():
        place = tuple(int(one) for one in np.argwhere(wrong)[0])
        error = EnvironmentContractError(
            f"its observation {name!r} holds the choice {array[place]}, which {space} does not have. Correct the "
            "environment's observation_space, or its observation."
        )
        error.index = place[0]
        raise error


def _collect_leaves(
    space: gym.Space[Any],
    name: str,
    pick: Callable[[Any], Any],
    leaves: dict[str, tuple[gym.Space[Any], Callable[[Any], Any]]],
) -> None:
    if isinstance(space, gym.spaces.Dict | gym.spaces.Tuple):
        parts = _parts(space)
        if not parts:
            raise UnsupportedSpaceError(f"the observation space holds nothing at {name!r}.")
        for key, part in parts.items():
            _collect_leaves(part, f"{name}/{key}", partial(_pick_part, pick, key), leaves)
        return
    if not isinstance(space, _LEAVES):
        raise UnsupportedSpaceError(
            f"the observation space holds {space} at {name!r}; Box, Discrete, MultiDiscrete, MultiBinary, Dict and "
            "Tuple are supported."
        )
    if 0 in (space.shape or ()):
        raise UnsupportedSpaceError(f"the observation space holds {space}, which has no numbers, at {name!r}.")
    if not has_tensors(space.dtype):
        raise UnsupportedSpaceError(
            f"the observation space holds {space.dtype}, which no tensor can be of, at {name!r}."
        )
    if name in leaves:
        raise UnsupportedSpaceError(
            f"the observation space has two leaves that would both be called {name!r}: a key of it holds '/'."
        )
    leaves[name] = (space, pick)


def _parts(space: gym.spaces.Dict | gym.spaces.Tuple) -> dict[Any, gym.Space[Any]]:
    return dict(space.spaces) if isinstance(space, gym.spaces.Dict) else dict(enumerate(space.spaces))


def has_tensors(dtype: Any) -> bool:
    """Return whether tensors can be made of arrays of a dtype."""
    try:
        torch.from_numpy(np.zeros(1, dtype))
    except (TypeError, ValueError):  # longdouble; bytes in another order
        return False
    return True


def _way_out(space: gym.Space[Any]) -> str:
    """Return the wrapper that takes away what is not supported of an observation space."""
    if isinstance(space, gym.spaces.Box) and not has_tensors(space.dtype):
        return "Wrap the environment (gymnasium.wrappers.DtypeObservation(env, numpy.float32))."
    left = []
    for key, part in _parts(space).items() if isinstance(space, gym.spaces.Dict | gym.spaces.Tuple) else ():
        try:
            _collect_leaves(part, "", lambda observation: observation, {})
        except UnsupportedSpaceError:
            continue
        left.append(key)
    if not left or len(left) == len(_parts(space)):  # type: ignore[arg-type]
        return f"Wrap the environment by {BY_OWN_OBSERVATIONS}."
    return (
        f"Wrap the environment by gymnasium.wrappers.FilterObservation(env, {left}), which leaves it out, or by "
        f"{BY_OWN_OBSERVATIONS}."
    )


def _pick_part(pick: Callable[[Any], Any], key: str | int, observation: Any) -> Any:
    return pick(observation)[key]
