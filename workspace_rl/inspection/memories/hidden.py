"""What a policy remembers outside of the workspace: it acts differently on equal workspaces, after different pasts."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workspace_rl.agent import is_agent
from workspace_rl.inspection.copies.nested import flat
from workspace_rl.inspection.memories.acting import acting_copy, described
from workspace_rl.inspection.memories.dependence import Run, differing
from workspace_rl.inspection.memories.faults import HIDDEN, Fault
from workspace_rl.workspace import Workspace

#: What may hold what was observed, and attributes of modules in which that is none of theirs.
KINDS = Tensor | np.ndarray
PARTS = ("_parameters", "_modules", "_buffers")
#: The step at which copies with different pasts meet.
MEETING = 4


def hidden_memories(policy: Any, run: Run, other: Run, kwargs: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield the attributes and buffers of agents that hold what was observed, where it changes what is written.

    Single numbers, a scale that adapts for instance, are left out.
    """
    written, attributes = [], []
    for past in (run, other):
        with acting_copy(policy, kwargs) as (twin, act):
            for t in range(MEETING):
                act(past.start(t), t)
            attributes.append(_attributes(twin))
            workspace = run.start(MEETING)
            act(workspace, MEETING)
            written.append(workspace)
    if not _differ(*written):
        return
    first, second = attributes
    agents: dict[str, list[str]] = {}
    for (agent, name), value in first.items():
        if _unlike(value, second.get((agent, name), [])) and any(one.ndim for one in value):
            agents.setdefault(agent, []).append(name)
    for agent, names in agents.items():
        yield Fault(HIDDEN, agent, tuple(dict.fromkeys(names)))


def _differ(one: Workspace, other: Workspace) -> bool:
    for name in one:
        a, b = (workspace.variables[name].peek(-1) for workspace in (one, other))
        if a is not None and b is not None and a.ndim and (a.shape != b.shape or differing(a, b).any()):
            return True
    return False


def _attributes(policy: nn.Module) -> dict[tuple[str, str], list[Tensor]]:
    """Return copies of the tensors that modules hold besides parameters, by agent and name."""
    found: dict[tuple[str, str], list[Tensor]] = {}
    holders: dict[int, str] = {}
    for module in policy.modules():
        if is_agent(module):
            # The innermost comes last.
            holders |= {id(part): described(module) for part in module.modules()}
    for module in policy.modules():
        own = {name: value for name, value in vars(module).items() if name not in PARTS} | module._buffers
        for name, value in own.items():
            held = [*value] if isinstance(value, collections.deque) else value
            tensors = [torch.as_tensor(one) for one in flat(held) if isinstance(one, KINDS)]
            if tensors:
                copies = [one.detach().clone() for one in tensors]
                found[holders.get(id(module), type(module).__name__), name] = copies
    return found


def _unlike(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) != len(other) or any(
        a.shape != b.shape or not torch.equal(a, b) for a, b in zip(one, other, strict=True)
    )
