"""`bbrl.agents.agent`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from workspace_rl import agent as library
from workspace_rl import composition
from workspace_rl.compat.assertions import asserting
from workspace_rl.errors import PolicyFileError
from workspace_rl.policies.loading import load_policy


def load(filename: str | Path, allow: Sequence[str | type] = ()) -> library.Agent:
    """Return the agent in a folder of `workspace_rl.save_policy`, built from the library's classes and `allow`.

    Raises:
        PolicyFileError: `filename` is a pickle, as `save_model` writes it, or no policy that can be read.
    """
    if Path(filename).is_file():
        raise PolicyFileError(
            f"{str(filename)!r} is a pickle, as save_model writes it, and may run anybody's code when it is opened. So "
            "this is left to you: agent = torch.load(file, weights_only=False), after the line that installs the "
            "drop-in, if you trust whoever wrote it."
        )
    return load_policy(filename, allow)


class Agent(library.Agent):
    """The library's agent with BBRL's constructor; without a name it is called None.

    What is pickled of an agent is what BBRL's agents hold, so that each reads the other's files (`torch.load` with
    `weights_only=False`). The arguments that it was built with, which may be anything, are not part of it.
    """

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
        """Write the agent into a file as BBRL does, by `torch.save`: a pickle, which programs read by `torch.load`.

        Writing one endangers nobody; reading one stays the program's own call. `workspace_rl.save_policy` writes
        plain data.
        """
        torch.save(self, filename)

    def load_model(self, filename: str | Path) -> library.Agent:
        """Return the agent in a folder of `workspace_rl.save_policy`, built from the classes that this one is built of.

        Raises:
            PolicyFileError: `filename` is a pickle, as `save_model` writes it, or no policy that can be read.
        """
        return load(filename, [type(module) for module in self.modules()])

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled."""
        state = {name: value for name, value in self.__dict__.items() if name not in _OURS}
        return state | {"workspace": None, "prefix": self.prefix, "_Agent__trace_file": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what was pickled, here or by BBRL."""
        state = dict(state)
        state["_prefix"] = state.pop("prefix", "")
        super().__setstate__(state)
        self.__dict__["_constructor_arguments"] = None

    def __copy__(self) -> Self:
        """Return an agent with the same attributes."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a copy; what the agent was built from is copied where it is a part of the agent."""
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        twin.__dict__["_constructor_arguments"] = _copied_where_known(self.__dict__["_constructor_arguments"], memo)
        return twin


#: Attributes of agents that BBRL's have under another name or not at all.
_OURS = ("_constructor_arguments", "_prefix")


def _copied_where_known(value: Any, memo: dict[int, Any]) -> Any:
    if id(value) in memo:
        return memo[id(value)]
    if type(value) in (tuple, list):
        return type(value)(_copied_where_known(one, memo) for one in value)
    if type(value) is dict:
        return {key: _copied_where_known(one, memo) for key, one in value.items()}
    return value


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
