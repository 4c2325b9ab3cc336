"""Running the agents that are drawn, without a trace on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from workspace_rl.agent import state_variables
from workspace_rl.basics.seeding import RandomState
from workspace_rl.errors import UnknownVariableError, VariableMismatchError, did_you_mean
from workspace_rl.inspection.copies.twins import acting_copies
from workspace_rl.learning.modes import evaluation_mode
from workspace_rl.workspace import Workspace


class Runnable(Protocol):
    """What can be drawn: anything that is called as an agent is, `agent(workspace, t=0)`."""

    def __call__(self, workspace: Workspace, **kwargs: Any) -> object:
        """Read and write variables of `workspace`."""


def remember(agents: Sequence[Runnable]) -> bool:
    """Return whether one of them has memory: what it says is then what it says at the beginning of an episode."""
    return any(state_variables(agent) for agent in agents if isinstance(agent, nn.Module))


def run_agents(agents: Sequence[Runnable], given: Mapping[str, Tensor], kwargs: Mapping[str, Any]) -> Workspace:
    """Run copies of `agents` in order at t=0 of a new workspace with the variables `given`, and return it.

    Where one has memory, all observations are the first ones of episodes: `env/timestep` is 0.
    """
    modules = [agent for agent in agents if isinstance(agent, nn.Module)]
    parameter = next((parameter for module in modules for parameter in module.parameters()), None)
    workspace = Workspace()
    for name, value in given.items():
        workspace.set_full(name, value if parameter is None else value.to(parameter.device))
    if remember(agents):
        first = next(iter(workspace.variables.values()))
        workspace.set("env/timestep", 0, torch.zeros(first.batch_size(), dtype=torch.int64, device=first.device))
    with RandomState(0), torch.no_grad(), acting_copies(agents) as copies, evaluation_mode(*copies):
        for agent in copies:
            agent(workspace, t=0, **kwargs)
    return workspace


def read_rows(workspace: Workspace, name: str, agent: Runnable, *, of_critics: bool = False) -> Tensor:
    """Return what `agent` wrote for each of the observations, the workspace's first variable, as `[B, n]`.

    It may be `[B, n, N]` if it is `of_critics` of discrete actions, N of them: the least of their values counts.
    """
    observations, *others = workspace.keys()
    n_points = workspace.batch_size(observations)
    who = f"agent {getattr(agent, 'name', None) or type(agent).__name__!r}"
    if name not in others:
        raise UnknownVariableError(
            f"{who} did not write variable {name!r}.{did_you_mean(name, others)} "
            f"Besides {observations!r}, the workspace holds {', '.join(map(repr, others)) or 'nothing'}."
        )
    value = workspace.get(name, 0)
    if of_critics and value.ndim == 3:
        value = value.amin(-1)
    if value.ndim not in (1, 2) or value.shape[0] != n_points:
        raise VariableMismatchError(
            f"{who} wrote variable {name!r} of shape {list(value.shape)} for {n_points} observations; "
            f"[{n_points}] or [{n_points}, n] expected."
        )
    return value.unsqueeze(1) if value.ndim == 1 else value


def as_numpy(values: Tensor) -> np.ndarray:
    """Return integers as they are, and floating-point numbers as float64: NumPy lacks some of torch's."""
    values = values.detach().cpu()
    return (values.double() if values.is_floating_point() else values.long()).numpy()
