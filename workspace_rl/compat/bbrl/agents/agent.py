"""`bbrl.agents.agent`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from workspace_rl import agent as library
from workspace_rl import composition
from workspace_rl.compat.assertions import asserting
from workspace_rl.errors import PolicyFileError
from workspace_rl.policy import load_policy, save_policy


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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Pass everything on."""
        super().__init__(*args, **kwargs)


class SerializableAgent(Agent):
    """An agent that can be saved."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Pass everything on."""
        super().__init__(*args, **kwargs)

    def serialize(self) -> SerializableAgent:
        """Return what `save` writes."""
        return self

    def save(self, filename: str | Path) -> None:
        """Save the agent, as `save_model` does."""
        self.serialize().save_model(filename)


class KWAgentWrapper(composition.KWAgentWrapper, Agent):
    """Runs an agent with fixed keyword arguments."""

    def seed(self, seed: int) -> Any:
        """Seed the agent."""
        return self.wrapped.seed(seed)


def load(filename: str | Path, allow: Sequence[str | type] = ()) -> library.Agent:
    """Return the agent that `save_model` or `save` wrote; `allow` names classes of your own (see `load_policy`).

    Raises:
        PolicyFileError: the file is a pickle, which BBRL wrote, or it is damaged.
    """
    if Path(filename).is_file():
        raise PolicyFileError(
            f"{str(filename)!r} is a file, as BBRL writes it: a pickle, which may run anybody's code when opened. "
            "So it is not. If you trust it, convert it once, with the real bbrl and without this drop-in: "
            "agent = torch.load(file, weights_only=False); safetensors.torch.save_model(agent, 'weights.safetensors'). "
            "Then build the agent here and call safetensors.torch.load_model(agent, 'weights.safetensors')."
        )
    return load_policy(filename, allow)
