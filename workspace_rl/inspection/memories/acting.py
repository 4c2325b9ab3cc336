"""Copies of a policy that act on made-up frames."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from workspace_rl.agent import is_agent
from workspace_rl.composition import TemporalAgent
from workspace_rl.inspection.copies.environments import is_environment
from workspace_rl.inspection.copies.twins import Twins
from workspace_rl.workspace import Workspace

#: Runs a copy of a policy at a step of a workspace.
Act = Callable[[Workspace, int], None]


@contextlib.contextmanager
def acting_copy(policy: Any, kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Act]]:
    """Lend a copy of `policy`, and what runs it: at each step with random numbers of that step.

    Environments within it do nothing: their frames are written by others.
    """
    twins = Twins(fake=False, seed=1)
    try:
        twin = twins.of(policy).eval()
        for module in twin.modules():
            if is_environment(module):
                module.__dict__["forward"] = _nothing
        over_time = isinstance(twin, TemporalAgent) or type(twin).__name__ == "TemporalAgent"

        def act(workspace: Workspace, t: int) -> None:
            _seed(t)
            twin(workspace, t=t, **kwargs, **({"n_steps": 1} if over_time else {}))

        yield twin, act
    finally:
        twins.put_back()


def described(agent: Any) -> str:
    """Return what an agent is called in messages."""
    return str(agent.description()) if hasattr(agent, "description") else f"agent {type(agent).__name__!r}"


def declares(agent: nn.Module, variable: str) -> bool:
    """Return whether an agent names a variable as its state."""
    own: tuple[str, ...] = getattr(agent, "state_variables", None) or ()
    return variable in own


def is_memory(agent: Any) -> bool:
    """Return whether an agent is known to remember, by what it has: state variables, or a recurrent network."""
    own = [one for one in agent.modules() if one is agent or not is_agent(one)]
    recurrent = any(isinstance(one, nn.RNNBase | nn.RNNCellBase) for one in own)
    return recurrent or bool(getattr(agent, "state_variables", ()))


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Do nothing."""
