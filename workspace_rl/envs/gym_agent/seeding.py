"""The seeds of resets: derived from the agent's seed, or given for the next reset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from workspace_rl.basics.seeding import TRAINING_EPISODES, checked_seed, checked_seeds, episode_seeds
from workspace_rl.envs.simulators.atari import AtariVector
from workspace_rl.errors import CompositionError


class ResetSeeds:
    """The seeds of one reset after the other, one for each environment."""

    def __init__(self, seed: int) -> None:
        """Derive seeds from `seed`.

        Raises:
            CompositionError: that is no whole number of at least 0.
        """
        #: The seeds of the next reset, where they were given.
        self.given: list[int] | None = None
        self.derive_from(seed)

    def derive_from(self, seed: int) -> None:
        """Derive the seeds of all later resets from `seed`; those that were given for the next one stay.

        Raises:
            CompositionError: that is no whole number of at least 0.
        """
        self.seed: Any = checked_seed(seed)
        self.n_resets = 0

    def next(self, n_envs: int) -> list[int]:
        """Return the seeds of the next reset: those that were given, once, else each reset's own."""
        given, self.given = self.given, None
        if given is not None:
            return given
        self.n_resets += 1
        return self.derived(n_envs)

    def derived(self, n_envs: int) -> list[int]:
        """Return the seeds of reset number `n_resets` (from 1)."""
        return episode_seeds(self.seed, TRAINING_EPISODES, self.n_resets - 1, n=n_envs)


def one_for_each(seeds: Sequence[int], n_envs: int) -> list[int]:
    """Return seeds as Python's integers.

    Raises:
        CompositionError: they are not as many as the environments, or one is no whole number.
    """
    seeds = checked_seeds(seeds)
    if len(seeds) != n_envs:
        raise CompositionError(f"{n_envs} environments need as many seeds, {len(seeds)} were given.")
    return seeds


def seeds_apart(vector_env: VectorEnv[Any, Any, Any]) -> bool:
    """Return whether each environment is reset by a seed of its own: some classes have one generator for all."""
    known = isinstance(vector_env.unwrapped, SyncVectorEnv | AsyncVectorEnv)
    return known or isinstance(vector_env, AtariVector)
