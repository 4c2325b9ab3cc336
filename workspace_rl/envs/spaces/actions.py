"""Actions out of variables: checked, rescaled from [-1, 1] to the space's bounds, clipped, in the space's dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from workspace_rl.envs.spaces.advice import BY_OWN_ACTIONS
from workspace_rl.envs.spaces.observations import has_tensors
from workspace_rl.errors import ActionError, UnsupportedSpaceError

#: An action may leave its bounds by this much (in units of [-1, 1]): rounding, which is removed without a word.
ROUNDING = 1e-5

#: Spaces whose actions are whole numbers: one choice, several, or several of 0 and 1.
CHOICES = gym.spaces.Discrete | gym.spaces.MultiDiscrete | gym.spaces.MultiBinary

ActionAdapter = Callable[[Tensor, str, int], np.ndarray]


def action_adapter(space: gym.Space[Any], n_envs: int, rescale: bool, clip: bool) -> ActionAdapter:
    """Return the function that turns the tensor of an action variable into what the vector environment takes.

    Args:
        space: of one environment.
        n_envs: the batch size that is expected.
        rescale: whether continuous actions come in [-1, 1].
        clip: whether continuous actions out of bounds are clipped rather than refused.

    Returns:
        A function of an action (`[B, ...]`), its variable's name and its step, which raises an `ActionError` if the
        action does not fit. It returns new arrays, which environments may keep and change.

    Raises:
        UnsupportedSpaceError: the space is of a kind that is not supported, or `rescale` needs bounds that are
            infinite.
    """
    check_action_space(space)
    if isinstance(space, gym.spaces.Box):
        return _continuous_actions(space, n_envs, rescale, clip)
    return _choices(space, n_envs)


def check_action_space(space: gym.Space[Any]) -> None:
    """Raise an `UnsupportedSpaceError` unless actions of this space can be taken from tensors."""
    if isinstance(space, gym.spaces.Box):
        supported = np.issubdtype(space.dtype, np.floating) and has_tensors(space.dtype)
    else:
        supported = isinstance(space, CHOICES)
    if not supported:
        raise UnsupportedSpaceError(
            f"the action space {space} is not supported; Box (of floats), Discrete, MultiDiscrete and "
            f"MultiBinary are. Wrap the environment by {BY_OWN_ACTIONS}."
        )
    if 0 in (space.shape or ()):
        raise UnsupportedSpaceError(
            f"the action space {space} leaves nothing to choose. Wrap the environment so that it takes an action, by "
            f"{BY_OWN_ACTIONS}."
        )


def _continuous_actions(space: gym.spaces.Box, n_envs: int, rescale: bool, clip: bool) -> ActionAdapter:
    """Return what rescales numbers in [-1, 1] to the space's bounds, or takes them in its own units."""
    shape = (n_envs, *space.shape)
    bounded = bool(np.isfinite(space.low).all() and np.isfinite(space.high).all())
    if rescale and not bounded:
        raise UnsupportedSpaceError(
            f"actions in [-1, 1] cannot be rescaled to the infinite bounds of {space}. Give the actions bounds, by "
            "gymnasium.wrappers.TransformAction(env, lambda action: action, gymnasium.spaces.Box(-1, 1, shape)) in a "
            "program or by a subclass of gymnasium.ActionWrapper in gym_env.wrappers, or, in compositions of your own, "
            "write actions in the space's own units (rescale_actions=False)."
        )
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    # Bounds whose sum, or what lies a little beyond them, may be too large for any number.
    extreme = bool((np.abs(low) > 1e30).any() or (np.abs(high) > 1e30).any())
    if rescale:
        dtype = np.float64 if space.dtype == np.float64 or extreme else np.float32
        centre, half = (high / 2 + low / 2).astype(dtype), (high / 2 - low / 2).astype(dtype)
        identity = bool((low == -1).all() and (high == 1).all())
        tolerance = np.ones_like(low, dtype=np.float32) * np.float32(1 + ROUNDING)
        least, most = -tolerance, tolerance
    else:
        identity = True
        with np.errstate(invalid="ignore", over="ignore"):
            slack = np.where(np.isfinite(high - low), ROUNDING * (high - low), 0)
            # No action is infinite, not even where nothing bounds it.
            largest = float(np.finfo(space.low.dtype).max)  # type: ignore[arg-type]
            least, most = np.maximum(low - slack, -largest), np.minimum(high + slack, largest)

    def adapt(action: Tensor, name: str, t: int) -> np.ndarray:
        array = _as_numpy(action)
        if array.shape != shape or array.dtype.kind != "f":
            raise ActionError(
                f"variable {name!r} at step {t} must hold floats of shape {list(shape)} for {space}, "
                f"found {action.dtype} of shape {list(array.shape)}."
            )
        # Written so that NaN is refused, too.
        if not (np.isfinite(array) if clip else (array >= least) & (array <= most)).all():
            raise _out_of_bounds(array, name, t, least, most)
        if not identity:
            array = centre + half * (np.clip(array, -1, 1) if extreme else array)
        # What np.clip does, which takes thrice as long to get there.
        clipped: np.ndarray = np.minimum(np.maximum(array, space.low), space.high)
        return clipped.astype(space.dtype, copy=False)

    return adapt


def _choices(space: gym.Space[Any], n_envs: int) -> ActionAdapter:
    """Return what turns choices, counted from 0, into those of the space, which may start elsewhere."""
    shape: tuple[int, ...]
    first: Any
    if isinstance(space, gym.spaces.Discrete):
        first, counts, shape = np.asarray(space.start), np.array(int(space.n), np.uint64), (n_envs,)
    elif isinstance(space, gym.spaces.MultiDiscrete):
        first, counts, shape = space.start, space.nvec.astype(np.uint64), (n_envs, *space.shape)
    else:
        part: Any = space.shape  # of MultiBinary
        first, counts, shape = np.zeros(part, np.int8), np.full(part, 2, np.uint64), (n_envs, *part)

    from_zero = not first.any()
    most = int(counts) - 1 if counts.ndim == 0 else None

    def fits(array: np.ndarray) -> bool:
        if most is not None and len(array) <= 64:  # Python is quicker with a few numbers
            numbers = array.tolist()
            return bool(min(numbers) >= 0 and max(numbers) <= most)
        # Negative ones are large as unsigned numbers.
        return not (array.astype(np.uint64, copy=False) >= counts).any()

    def adapt(action: Tensor, name: str, t: int) -> np.ndarray:
        array = _as_numpy(action)
        if array.shape != shape or array.dtype.kind not in "iu":
            raise ActionError(
                f"variable {name!r} at step {t} must hold integers of shape {list(shape)} for {space}, "
                f"found {action.dtype} of shape {list(array.shape)}."
            )
        if not fits(array):
            raise ActionError(
                f"variable {name!r} at step {t} holds {array.tolist()}; {space} takes 0 to {(counts - 1).tolist()}."
            )
        array = array.astype(space.dtype)  # a copy, which the environment may change
        return array if from_zero else array + first

    return adapt


def _as_numpy(action: Tensor) -> np.ndarray:
    # NumPy has no bfloat16, which actors compute with under autocast.
    return (action.float() if action.dtype is torch.bfloat16 else action).numpy(force=True)


def _out_of_bounds(array: np.ndarray, name: str, t: int, least: Any, most: Any) -> ActionError:
    inside = ((array >= least) & (array <= most)).reshape(len(array), -1).all(axis=1)
    index = int(np.flatnonzero(~inside)[0])
    bounds = f"{round(float(np.min(least)), 4)} to {round(float(np.max(most)), 4)}"
    return ActionError(
        f"variable {name!r} at step {t} is out of bounds for environment {index}: {array[index].tolist()} found, "
        f"{bounds} expected. Squash it with tanh, write it in the units asked for (rescale_actions), or let it be "
        "clipped (clip_actions=True)."
    )
