"""`bbrl.agents.utils`."""

from __future__ import annotations

from typing import Any

from workspace_rl import agent as library
from workspace_rl import composition
from workspace_rl.compat.assertions import asserting
from workspace_rl.compat.bbrl.agents.agent import Agent


class Agents(composition.Agents, Agent):
    """Runs agents in order."""

    __init__ = asserting(composition.Agents.__init__)
    seed = library.Agent.seed  # the same for every agent


class TemporalAgent(composition.TemporalAgent, Agent):
    """Runs an agent at successive steps."""

    __init__ = asserting(composition.TemporalAgent.__init__)
    seed = library.Agent.seed


class CopyTAgent(composition.CopyTAgent, Agent):
    """Copies one variable to another."""


class EpisodesDone(composition.EpisodesDone, Agent):
    """Tells which environments have finished an episode."""

    _done: Any = None  # of one that BBRL has pickled


class PrintAgent(composition.PrintAgent, Agent):
    """Prints variables at each step, as BBRL writes them."""

    def reset(self) -> None:
        """Print all variables from now on."""
        self.names = ()

    def forward(self, t: int, **kwargs: Any) -> None:
        """Print step `t`, padded ones, too; all variables that reach so far where no names were given."""
        variables = self.running_workspace().variables
        for name in self.names or [one for one, variable in variables.items() if t < variable.time_size()]:
            self._show(name, t)

    def _show(self, name: str, t: int) -> None:
        """Print one variable."""
        print(name, " = ", self.get((name, t)))
