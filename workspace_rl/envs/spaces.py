"""What stands between tensors and gymnasium's spaces: observations into variables, actions out of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from workspace_rl.errors import ActionError, EnvironmentContractError, UnsupportedSpaceError

#: An action may leave its bounds by this much (in units of [-1, 1]): rounding, which is removed without a word.
ROUNDING = 1e-5

#: How an environment is wrapped, in messages.
BY_WRAPPERS = "gym_env.wrappers in a configuration, GymAgent(..., wrappers=[...]) in a program"
#: By what an environment is wrapped in a way of one's own: what takes a function cannot stand in a configuration.
BY_OWN_OBSERVATIONS = (
    "gymnasium.wrappers.TransformObservation in a program, or a subclass of gymnasium.ObservationWrapper in "
    "gym_env.wrappers"
)
BY_OWN_ACTIONS = BY_OWN_OBSERVATIONS.replace("Observation", "Action")

_LEAVES = gym.spaces.Box | gym.spaces.Discrete | gym.spaces.MultiDiscrete | gym.spaces.MultiBinary

# ---- observations -------------------------------------------------------------------------------------------------


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


#: Networks get at most so many inputs of zeros and ones from observations that are choices.
MOST_CHOICES = 100_000


def observation_choices(space: gym.Space[Any]) -> list[list[int]] | None:
    """Return the least value and the number of values of each choice that an observation consists of.

    None for observations that are numbers: those of a `Box`, and of `MultiBinary`, whose zeros and ones are inputs of
    networks as they stand.
    """
    if isinstance(space, gym.spaces.Discrete):
        return [[int(space.start), int(space.n)]]
    if isinstance(space, gym.spaces.MultiDiscrete):
        parts = zip(space.start.reshape(-1).tolist(), space.nvec.reshape(-1).tolist(), strict=True)
        return [[int(least), int(count)] for least, count in parts]
    return None


def observation_size(space: gym.Space[Any]) -> int:
    """Return how many inputs a network has for an observation: its features, or its choices one-hot.

    Raises:
        UnsupportedSpaceError: it is neither a vector of numbers nor choices, or there are too many choices.
    """
    choices = observation_choices(space)
    if choices is not None:
        size = sum(count for _, count in choices)
        if size > MOST_CHOICES:
            raise UnsupportedSpaceError(
                f"the observation space {space} has {size:,} choices; at most {MOST_CHOICES:,} become inputs of a "
                f"network. Turn them into a few numbers by a wrapper of your own: {BY_WRAPPERS}."
            )
        return size
    flat = isinstance(space, gym.spaces.Box | gym.spaces.MultiBinary) and len(space.shape) == 1
    if flat:
        return int(space.shape[0])  # type: ignore[index]
    if is_image(space):
        raise UnsupportedSpaceError(
            f"the observation space {space} is not a vector, but one of images. DQN learns from them by convolutions: "
            f"algorithm.architecture.network=nature_cnn. Small ones of other algorithms become vectors by "
            f"gymnasium.wrappers.FlattenObservation: {BY_WRAPPERS}."
        )
    if isinstance(space, gym.spaces.Box | gym.spaces.MultiBinary):
        raise UnsupportedSpaceError(
            f"the observation space {space} is not a vector, but of shape {list(space.shape)}. It becomes one by "
            f"gymnasium.wrappers.FlattenObservation: {BY_WRAPPERS}."
            f"{images_with_channels_last(space.shape, space.dtype)}"
        )
    raise UnsupportedSpaceError(
        f"the observation space {space} has several parts, which these networks do not read. A vector is made of them "
        f"by gymnasium.wrappers.FlattenObservation: {BY_WRAPPERS}."
    )


def images_with_channels_last(shape: Sequence[int], dtype: Any = np.uint8) -> str:
    """Return how DQN learns from images `[height, width(, channels)]`; nothing if they are none, or too small."""
    if len(shape) not in (2, 3) or min(shape[:2]) < 36 or (len(shape) == 3 and shape[2] > 4):
        return ""
    wrappers = "a subclass of gymnasium.ObservationWrapper in gym_env.wrappers makes"
    if len(shape) == 2 or (shape[2] == 3 and dtype == np.uint8):
        gray = "GrayscaleObservation, " if len(shape) == 3 else ""
        wrappers = f"gym_env.wrappers=[{gray}{{classname: FrameStackObservation, stack_size: 4}}] makes"
    return (
        " From images DQN learns by convolutions, algorithm.architecture.network=nature_cnn, which read channels "
        f"first: {wrappers} such of these, or gym_env.atari={{}} those of an Atari game."
    )


def is_image(space: gym.Space[Any]) -> bool:
    """Return whether observations are images for convolutions: channels first, at least 36 x 36 pixels."""
    return isinstance(space, gym.spaces.Box) and len(space.shape) == 3 and min(space.shape[1:]) >= 36


def _as_array(space: gym.Space[Any], pick: Callable[[Any], Any]) -> Callable[[Any], np.ndarray]:
    if space.dtype == np.float64:
        return lambda observation: np.asarray(pick(observation), dtype=np.float32)
    return lambda observation: np.asarray(pick(observation))


def check_choices(array: np.ndarray, space: gym.Space[Any]) -> None:
    """Raise an `EnvironmentContractError` if an observation `[B, ...]` of choices holds one that the space has not.

    Networks would be given zeros for it, without a word.
    """
    if not isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete):
        return
    count: Any = space.n if isinstance(space, gym.spaces.Discrete) else space.nvec
    wrong = (array < space.start) | (array - space.start >= count)
    if wrong.any():
        place = tuple(int(one) for one in np.argwhere(wrong)[0])
        error = EnvironmentContractError(
            f"its observation holds the choice {array[place]}, which {space} does not have. Correct the environment's "
            "observation_space, or its observation."
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
    if not _has_tensors(space.dtype):
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


def _has_tensors(dtype: Any) -> bool:
    try:
        torch.from_numpy(np.zeros(1, dtype))
    except (TypeError, ValueError):  # longdouble; bytes in another order
        return False
    return True


def _way_out(space: gym.Space[Any]) -> str:
    """Return the wrapper that takes away what is not supported of an observation space."""
    if isinstance(space, gym.spaces.Box) and not _has_tensors(space.dtype):
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


# ---- actions ------------------------------------------------------------------------------------------------------

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
    shape: tuple[int, ...]
    first: Any
    if isinstance(space, gym.spaces.Discrete):
        first, counts, shape = np.asarray(space.start), np.array(int(space.n), np.uint64), (n_envs,)
    else:
        choices = cast(gym.spaces.MultiDiscrete, space)
        first, counts, shape = choices.start, choices.nvec.astype(np.uint64), (n_envs, *choices.shape)

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


def check_action_space(space: gym.Space[Any]) -> None:
    """Raise an `UnsupportedSpaceError` unless actions of this space can be taken from tensors."""
    if isinstance(space, gym.spaces.Box):
        supported = np.issubdtype(space.dtype, np.floating) and _has_tensors(space.dtype)
    else:
        supported = isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete)
    if not supported:
        raise UnsupportedSpaceError(
            f"the action space {space} is not supported; Box (of floats), Discrete and MultiDiscrete are. "
            f"Wrap the environment by {BY_OWN_ACTIONS}."
        )
    if 0 in (space.shape or ()):
        raise UnsupportedSpaceError(
            f"the action space {space} leaves nothing to choose. Wrap the environment so that it takes an action, by "
            f"{BY_OWN_ACTIONS}."
        )


def _continuous_actions(space: gym.spaces.Box, n_envs: int, rescale: bool, clip: bool) -> ActionAdapter:
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
        if not ((array >= least) & (array <= most)).all():
            _refuse_unless(clip and np.isfinite(array).all(), array, name, t, least, most)
        if not identity:
            array = centre + half * (np.clip(array, -1, 1) if extreme else array)
        # What np.clip does, which takes thrice as long to get there.
        clipped: np.ndarray = np.minimum(np.maximum(array, space.low), space.high)
        return clipped.astype(space.dtype, copy=False)

    return adapt


def _as_numpy(action: Tensor) -> np.ndarray:
    # NumPy has no bfloat16, which actors compute with under autocast.
    return (action.float() if action.dtype is torch.bfloat16 else action).numpy(force=True)


def _refuse_unless(allowed: bool, array: np.ndarray, name: str, t: int, least: Any, most: Any) -> None:
    if allowed:
        return
    inside = ((array >= least) & (array <= most)).reshape(len(array), -1).all(axis=1)
    index = int(np.flatnonzero(~inside)[0])
    bounds = f"{round(float(np.min(least)), 4)} to {round(float(np.max(most)), 4)}"
    raise ActionError(
        f"variable {name!r} at step {t} is out of bounds for environment {index}: {array[index].tolist()} found, "
        f"{bounds} expected. Squash it with tanh, write it in the units asked for (rescale_actions), or let it be "
        "clipped (clip_actions=True)."
    )
