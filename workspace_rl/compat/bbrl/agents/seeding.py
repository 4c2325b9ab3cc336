"""`bbrl.agents.seeding`."""

from __future__ import annotations

from typing import Any, Self

from workspace_rl.compat.bbrl.agents.agent import Agent
from workspace_rl.envs.gym_agent.seeding import ResetSeeds


class SeedableAgent(Agent):
    """An agent that keeps its seed; the last one counts."""

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        """Create an agent, seeded if `seed` is given."""
        super().__init__(**kwargs)
        self._seed: Any = seed

    def seed(self, seed: int) -> Self:
        """Set the seed and return the agent."""
        self._seed = seed
        return self


class SeedableAgentLast(SeedableAgent):
    """An agent that keeps the last of its seeds."""


class SeedableAgentSum(SeedableAgent):
    """An agent whose seed is the sum of those it was given."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Create an agent."""
        super().__init__(*args, **kwargs)
        self._seeds: list[int] = []

    def seed(self, seed: int) -> Self:
        """Add a seed and return the agent."""
        self._seeds.append(seed)
        return super().seed(self._combined())

    def _combined(self) -> int:
        return sum(self._seeds)


class SeedableAgentMean(SeedableAgentSum):
    """An agent whose seed is the mean, rounded down, of those it was given."""

    def _combined(self) -> int:
        return sum(self._seeds) // len(self._seeds)


class BBRLSeeds(ResetSeeds):
    """The seeds of BBRL's environments: small numbers, of which two agents may have the same."""

    def derived(self, n_envs: int) -> list[int]:
        """Return the seeds of reset number `n_resets` (from 1)."""
        return [n_envs * (self.n_resets + 1) * self.seed + k + 1 for k in range(n_envs)]
