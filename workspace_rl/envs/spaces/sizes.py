"""What networks get and give: how many inputs an observation has, one-hot or not, and how many outputs an action."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym

from workspace_rl.envs.spaces.advice import BY_OWN_ACTIONS, BY_WRAPPERS
from workspace_rl.envs.spaces.images import images_with_channels_last, is_image
from workspace_rl.errors import UnsupportedSpaceError

#: Networks get at most so many inputs of zeros and ones from observations that are choices.
MOST_CHOICES = 100_000

#: What makes features of observations that networks do not read.
_ENCODER = "an encoder (workspace_rl.agents.make_encoder in a program)"

#: A vector of numbers, one choice, several choices, several zeros and ones.
ACTION_KINDS = ("continuous", "discrete", "multi-discrete", "multi-binary")


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
            f"the observation space {space} is not a vector, but one of images. Convolutions read them: "
            f"algorithm.architecture.network=nature_cnn, or {_ENCODER}. Small ones become vectors by "
            f"gymnasium.wrappers.FlattenObservation: {BY_WRAPPERS}."
        )
    if isinstance(space, gym.spaces.Box | gym.spaces.MultiBinary):
        raise UnsupportedSpaceError(
            f"the observation space {space} is not a vector, but of shape {list(space.shape)}. It becomes one by "
            f"gymnasium.wrappers.FlattenObservation: {BY_WRAPPERS}; or by {_ENCODER}."
            f"{images_with_channels_last(space.shape, space.dtype)}"
        )
    raise UnsupportedSpaceError(
        f"the observation space {space} has several parts, which these networks do not read. A vector is made of them "
        f"by {_ENCODER}, or by gymnasium.wrappers.FlattenObservation: {BY_WRAPPERS}."
    )


def action_size(space: gym.Space[Any]) -> int:
    """Return how many outputs a network has for an action.

    That is one for each component of a continuous action or of a `MultiBinary` one, and one for each choice of
    discrete ones; those of the parts of a `MultiDiscrete` action stand side by side (see `action_choices`).

    Raises:
        UnsupportedSpaceError: the action is none of these.
    """
    choices = action_choices(space)
    if isinstance(space, gym.spaces.MultiBinary):
        return math.prod(space.shape)
    if choices is not None:
        return sum(choices)
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
        return space.shape[0]
    raise UnsupportedSpaceError(
        f"the action space {space} is neither a vector of numbers nor made of choices. Make it one: {BY_OWN_ACTIONS}."
    )


def action_choices(space: gym.Space[Any]) -> list[int] | None:
    """Return how many choices each part of an action has, parts in the order of `reshape(-1)`; None for numbers.

    One number for a `Discrete` space, several for `MultiDiscrete` ones, a 2 for each component of `MultiBinary` ones.
    """
    if isinstance(space, gym.spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, gym.spaces.MultiDiscrete):
        return [int(count) for count in space.nvec.reshape(-1)]
    return [2] * math.prod(space.shape) if isinstance(space, gym.spaces.MultiBinary) else None


def action_kind(space: gym.Space[Any]) -> str:
    """Return which of `ACTION_KINDS` the actions of a space are."""
    if isinstance(space, gym.spaces.Box):
        return "continuous"
    if isinstance(space, gym.spaces.MultiBinary):
        return "multi-binary"
    return "discrete" if isinstance(space, gym.spaces.Discrete) else "multi-discrete"
