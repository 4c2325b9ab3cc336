"""What networks read of observations: the whole, or what stands beside a mask of allowed actions."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym

from workspace_rl.envs.spaces.advice import BY_OWN_OBSERVATIONS
from workspace_rl.envs.spaces.observations import space_leaves
from workspace_rl.envs.spaces.sizes import observation_choices, observation_size
from workspace_rl.errors import UnsupportedSpaceError


class Observed(NamedTuple):
    """A variable with observations, and its space in one environment."""

    variable: str
    space: gym.Space[Any]

    @property
    def size(self) -> int:
        """The number of a network's inputs.

        Raises:
            UnsupportedSpaceError: it is neither a vector of numbers nor choices.
        """
        return observation_size(self.space)

    @property
    def choices(self) -> list[list[int]] | None:
        """Least value and count of each choice that it consists of; None if it is of numbers."""
        return observation_choices(self.space)


def observed(space: gym.Space[Any], variable: str, mask_variable: str | None) -> Observed:
    """Return what networks read of an observation.

    Args:
        space: of one environment's observation.
        variable: the name of the whole.
        mask_variable: which actions are allowed. Where that is a part of the observation, the other part is read.
            Where there is one part only, this is read.

    Raises:
        UnsupportedSpaceError: the mask is a part, and not one, but none or several are left.
    """
    leaves = {name: leaf for name, (leaf, _) in space_leaves(space, variable).items()}
    masked = leaves.pop(mask_variable, None) is not None if mask_variable is not None else False
    if not masked and len(leaves) > 1:
        return Observed(variable, space)
    if len(leaves) != 1:
        raise UnsupportedSpaceError(
            f"the observation space {space} holds {', '.join(map(repr, leaves)) or 'nothing'} beside the mask "
            f"{mask_variable!r}; one part is expected, which networks read. Put what belongs together into one vector "
            f"by {BY_OWN_OBSERVATIONS}, or the mask into info (gym_env.info_keys)."
        )
    return Observed(*leaves.popitem())
