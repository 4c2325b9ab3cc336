"""The parts that an observation consists of, as what networks are told of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, cast

import gymnasium as gym

from workspace_rl.envs.spaces.advice import BY_OWN_OBSERVATIONS
from workspace_rl.envs.spaces.images import has_channels_last, images_with_channels_last, is_picture
from workspace_rl.envs.spaces.observations import space_leaves
from workspace_rl.envs.spaces.sizes import observation_choices, observation_size
from workspace_rl.errors import CompositionError, UnsupportedSpaceError


class Part(TypedDict):
    """A part of an observation, as plain data."""

    #: The variable that holds it, "env/env_obs/camera".
    variable: str
    #: "picture" (channels first, or a stack of such), "choices", or "numbers".
    kind: str
    #: In one environment.
    shape: list[int]
    #: Least value and count of each choice; None for pictures and numbers.
    choices: list[list[int]] | None


def observation_parts(space: gym.Space[Any], variable: str, mask_variable: str | None = None) -> list[Part]:
    """Return the parts of an observation, which are its leaves: one where it has no parts.

    Args:
        space: of one environment's observation.
        variable: the name of the whole; leaves of `Dict` and `Tuple` spaces are called `<variable>/<key>`.
        mask_variable: the part that says which actions are allowed, which networks do not read, if there is one.

    Raises:
        UnsupportedSpaceError: a leaf is of a kind that has no arrays, or networks do not read it; or nothing is left
            beside the mask.
    """
    leaves = {name: leaf for name, (leaf, _) in space_leaves(space, variable).items() if name != mask_variable}
    if not leaves:
        raise UnsupportedSpaceError(
            f"the observation space {space} holds nothing beside the mask {mask_variable!r}; at least one part is "
            "expected, which networks read. Put the mask into info (gym_env.info_keys)."
        )
    return [_part(name, leaf) for name, leaf in leaves.items()]


def _part(variable: str, space: gym.Space[Any]) -> Part:
    choices = observation_choices(space)
    if choices is not None:
        observation_size(space)  # which refuses too many
    shape = [int(size) for size in space.shape or ()]
    if has_channels_last(space):
        raise UnsupportedSpaceError(
            f"the observation space holds pictures with channels last, {space}, at {variable!r}."
            f"{images_with_channels_last(shape, space.dtype) or _channels_first()}"
        )
    kind = "choices" if choices is not None else "picture" if is_picture(space) else "numbers"
    return Part(variable=variable, kind=kind, shape=shape, choices=choices)


def _channels_first() -> str:
    return f" Convolutions read channels first: make such of them by {BY_OWN_OBSERVATIONS}."


def as_parts(given: Any) -> list[Part]:
    """Return `given` as parts, plain data as files hold it.

    Raises:
        CompositionError: it is none.
    """
    keys = set(Part.__annotations__)
    if not isinstance(given, list | tuple) or not given or not all(isinstance(one, Mapping) for one in given):
        raise CompositionError(f"parts: a list of dictionaries with {sorted(keys)} expected, {given!r} found.")
    parts = []
    for one in given:
        if set(one) != keys or one["kind"] not in ("picture", "choices", "numbers"):
            raise CompositionError(
                f"parts: dictionaries with {sorted(keys)}, of which kind is 'picture', 'choices' or 'numbers', "
                f"expected, {dict(one)!r} found. env_agent.observation_parts() gives them."
            )
        parts.append(cast(Part, dict(one)))
    return parts
