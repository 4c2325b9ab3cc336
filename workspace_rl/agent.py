"""The agent: a module that reads named variables of a workspace and writes others."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Self, TypeGuard

import torch
from torch import Tensor, nn

from workspace_rl.access import given_read, given_write
from workspace_rl.errors import NoWorkspaceError, WorkspaceError
from workspace_rl.variables.state_before import BEFORE
from workspace_rl.workspace import Workspace


class Agent(nn.Module):
    """A piece of a program that reads variables of a shared workspace and writes others.

    Subclasses implement `forward(t, **kwargs)`, which uses `self.get((name, t))` and `self.set((name, t), value)`.
    Keyword arguments of a call reach every agent of a composition, so `forward` accepts those it does not know.

        class Doubler(Agent):
            def forward(self, t, **kwargs):
                self.set(("double", t), 2 * self.get(("x", t)))

        workspace = Workspace()
        workspace.set("x", 0, torch.ones(3))
        Doubler()(workspace, t=0)
        workspace.get("double", 0)
    """

    #: The workspace of the current call, None outside of calls.
    workspace: Workspace | None
    #: The spaces that the agent, as a policy, was trained for; None where they are not known.
    policy_spaces: Any = None
    #: Whether nothing that acts reads what the agent writes, so that collectors may run it over all of time at once,
    #: `agent(workspace)`, instead of at each step. This is said of a class itself, not of its subclasses.
    looks_afterwards: bool = False
    #: Variables that the agent reads at t - 1 and writes at t: its memory, which is carried from one piece of time to
    #: the next. What stood before the first step of a piece is the variable `before(name)`, `[1, B, ...]`.
    state_variables: tuple[str, ...] = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Create the agent and note the arguments it is built with, so that a saved policy can be rebuilt."""
        agent = super().__new__(cls)
        agent.__dict__["_constructor_arguments"] = (_snapshot(list(args)), _snapshot(kwargs))
        agent.__dict__["workspace"] = None
        return agent

    def __init__(self, name: str | None = None) -> None:
        """Create an agent called `name` (its class's name unless given)."""
        super().__init__()
        self._name = name or type(self).__name__
        self._prefix = ""

    # ---- running --------------------------------------------------------------------------------------------------

    def __call__(self, workspace: Workspace, *args: Any, **kwargs: Any) -> None:
        """Run the agent on `workspace`, by `forward(*args, **kwargs)`; an exception leaves no workspace behind in it.

        Raises:
            NoWorkspaceError: `workspace` is not a workspace.
        """
        if not hasattr(workspace, "get_full"):
            raise NoWorkspaceError(
                f"{self.description()} was called with {type(workspace).__name__}, it needs a workspace: "
                "agent(workspace, t=0)."
            )
        # Past nn.Module's way of setting attributes, which is ten times slower; the outer workspace is put back
        # afterwards, so that an agent may call itself.
        state = self.__dict__
        outer = state["workspace"]
        state["workspace"] = workspace
        try:
            if self._forward_hooks or self._forward_pre_hooks:
                super().__call__(*args, **kwargs)
            else:  # what nn.Module does besides costs as much as a small network's step
                self.forward(*args, **kwargs)
        except WorkspaceError as error:
            error.where = error.where or self.description()
            raise
        finally:
            state["workspace"] = outer

    def forward(self, *args: Any, **kwargs: Any) -> None:
        """Read and write the workspace, usually at a step: `forward(self, t, **kwargs)`."""
        raise NotImplementedError(f"{self.description()} does not say what it does: implement forward(self, t).")

    def get(self, index: Any = None, t: Any = None, *, name: str | None = None) -> Tensor:
        """Return a whole variable, `get("x")` (`[T, B, ...]`), or one step of it (`[B, ...]`).

        A step is named by `get(("x", t))` or `get("x", t)`.

        Raises:
            NoWorkspaceError: the agent is not being called.
            AccessError: neither form is used, or the step is no whole number.
            UnknownVariableError: nobody has written the variable.
            UnwrittenStepError: nobody has written that step.
        """
        workspace = self.workspace
        if workspace is None:
            workspace = self.running_workspace()
        if type(index) is tuple and t is None and len(index) == 2:
            return workspace.get(index[0], index[1])
        if type(t) is int and type(index) is str:
            return workspace.get(index, t)
        variable, step = given_read("Agent", index if name is None else name, t)
        return workspace.get_full(variable) if step is None else workspace.get(variable, step)

    def set(self, index: Any = None, t: Any = None, value: Any = None, *, name: str | None = None) -> None:
        """Write a whole variable, `set("x", v)` (`[T, B, ...]`), or one step of it, `v` being `[B, ...]`.

        A step is named by `set(("x", t), v)` or `set("x", t, v)`.

        Raises:
            NoWorkspaceError: the agent is not being called.
            AccessError: neither form is used, or the step is no whole number.
            NotATensorError: the value is not a tensor.
            VariableMismatchError: shape, dtype or device differ from those of the variable's other steps.
        """
        workspace: Any = self.workspace
        if workspace is None:
            workspace = self.running_workspace()
        writer = self._name or type(self).__name__
        if type(index) is tuple and value is None and len(index) == 2 and isinstance(workspace, Workspace):
            workspace.set(index[0], index[1], t, writer=writer)
            return
        if type(t) is int and type(index) is str and value is not None and isinstance(workspace, Workspace):
            workspace.set(index, t, value, writer=writer)
            return
        variable, step, value = given_write("Agent", index if name is None else name, t, value)
        if step is None:
            workspace.set_full(variable, value)
            workspace.variables[variable].writer = writer
        elif isinstance(workspace, Workspace):
            workspace.set(variable, step, value, writer=writer)
        else:  # BBRL's own
            workspace.set(variable, step, value)

    def running_workspace(self) -> Workspace:
        """Return the workspace of the current call.

        Raises:
            NoWorkspaceError: the agent is not being called.
        """
        if self.workspace is None:
            raise NoWorkspaceError(
                f"{self.description()} used its workspace outside of a call. Call the agent, agent(workspace, t=0), "
                "rather than its forward method."
            )
        return self.workspace

    # ---- names ----------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The agent's name."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name

    def get_name(self) -> str:
        """Return the agent's name."""
        return self.name

    def set_name(self, name: str) -> Self:
        """Rename the agent and return it."""
        self.name = name
        return self

    @property
    def prefix(self) -> str:
        """What the agent puts before the names of the variables that it writes (agents with a prefix say so)."""
        return self._prefix

    @prefix.setter
    def prefix(self, prefix: str) -> None:
        self._prefix = prefix

    def with_prefix(self, prefix: str) -> Self:
        """Set the prefix and return the agent: `target = copy.deepcopy(critic).with_prefix("target-critic/")`."""
        self.prefix = prefix
        return self

    def get_by_name(self, name: str) -> list[Agent]:
        """Return all agents called `name` inside this one, itself included, innermost first."""
        found = [match for child in self.child_agents() for match in child.get_by_name(name)]
        return [*found, self] if self.name == name else found

    def child_agents(self) -> list[Agent]:
        """Return the agents that this one is composed of, in order, those in lists and other modules among them."""
        return list(_outermost_agents(self))

    def description(self) -> str:
        """Return a short text that identifies the agent in messages."""
        kind = type(self).__name__
        return f"agent {self._name!r} ({kind})" if self._name and self._name != kind else f"agent {kind!r}"

    # ---- random numbers, copies -----------------------------------------------------------------------------------

    def seed(self, seed: int) -> Self:
        """Seed the agents inside this one that have random numbers of their own, and return the agent.

        Environments do. Stochastic policies draw from torch's global generator.
        """
        for child in self.child_agents():
            child.seed(seed)
        return self

    def clone(self) -> Self:
        """Return a deep copy without gradients, cut from graphs: parameters, buffers and modes are the same."""
        memo: dict[int, Any] = {}
        for part in self.modules():
            # Tensors that are the outcome of a computation cannot be copied with it, nor can a running call.
            kept = [*part._buffers.values(), *part.__dict__.values()]
            memo |= {id(one): one.detach().clone() for one in kept if isinstance(one, Tensor) and not one.is_leaf}
        twin = copy.deepcopy(self, memo)
        twin.zero_grad()
        return twin

    @property
    def device(self) -> torch.device:
        """The device of the agent's first parameter, the CPU if it has none."""
        parameter = next(self.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device


def state_variables(module: nn.Module) -> list[str]:
    """Return the names of the variables that agents inside `module` carry over time, each once."""
    parts = [part for part in module.modules() if isinstance(part, Agent)]
    return list(dict.fromkeys(name for part in parts for name in part.state_variables))


def before(name: str) -> str:
    """Return the variable with what a state variable was before the first step of a piece of time, `[1, B, ...]`."""
    return name + BEFORE


def is_agent(candidate: object) -> TypeGuard[Agent]:
    """Return whether `candidate` runs on workspaces: an agent, or one of the package BBRL, which acts alike."""
    return isinstance(candidate, Agent) or (
        isinstance(candidate, nn.Module)
        and all(hasattr(candidate, name) for name in ("workspace", "get", "set", "get_by_name", "seed", "set_name"))
    )


def _outermost_agents(module: nn.Module) -> Iterator[Agent]:
    for child in module._modules.values():  # an agent that stands twice in a list counts twice
        if is_agent(child):
            yield child
        elif child is not None:
            yield from _outermost_agents(child)


def _snapshot(value: Any) -> Any:
    """Return `value`, with lists and dictionaries copied: they may change after the agent was built from them."""
    if isinstance(value, list):
        return [_snapshot(one) for one in value]
    if isinstance(value, dict):
        return {key: _snapshot(one) for key, one in value.items()}
    return value
