"""`bbrl.agents.agent`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from torch import Tensor

from workspace_rl import agent as library
from workspace_rl import composition
from workspace_rl.compat.assertions import asserting
from workspace_rl.policy import load_policy as load
from workspace_rl.policy import save_policy


class Agent(library.Agent):
    """The library's agent with BBRL's constructor; without a name it is called None."""

    def __init__(self, name: str | None = None, verbose: bool = False) -> None:
        """Create an agent."""
        super().__init__()
        self._name = name  # type: ignore[assignment]
        self.verbose = verbose

    __call__ = asserting(library.Agent.__call__)

    def get_time_truncated(self, var_name: str, from_time: int, to_time: int) -> Tensor:
        """Return some steps of a variable, `[T, B, ...]`."""
        return self.running_workspace().get_time_truncated(var_name, from_time, to_time)

    def seed(self, seed: int) -> Any:
        """Do nothing: agents that hold others do not seed them, unless they are `Agents` and the like."""

    def clone(self) -> Self:
        """Return a copy; both are without gradients."""
        self.zero_grad()
        return super().clone()

    def is_running(self) -> bool:
        """Return False: the agent runs in this process."""
        return False

    def save_model(self, filename: str | Path) -> None:
        """Save the agent: `filename` becomes a folder with its weights (safetensors) and its construction (YAML)."""
        save_policy(self, filename)

    def load_model(self, filename: str | Path) -> library.Agent:
        """Return the agent that `save_model` wrote; it may be built from the classes that this one is built from."""
        return load(filename, [type(module) for module in self.modules()])


class TimeAgent(Agent):
    """An agent whose `forward` needs a step."""


class SerializableAgent(Agent):
    """An agent that can be saved."""

    def serialize(self) -> SerializableAgent:
        """Return what `save` writes."""
        return self

    def save(self, filename: str | Path) -> None:
        """Save the agent, as `save_model` does."""
        self.serialize().save_model(filename)


class KWAgentWrapper(composition.KWAgentWrapper, Agent):
    """Runs an agent with fixed keyword arguments."""

    seed = library.Agent.seed
