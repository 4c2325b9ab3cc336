"""What depends on a variable's past: a policy acts on the same frames, and remembers others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from workspace_rl.inspection.memories.acting import Act, acting_copy
from workspace_rl.inspection.memories.episodes import Episodes
from workspace_rl.workspace import Workspace

#: Smaller differences are rounding.
CLOSE = 1e-6


@dataclass
class Run:
    """A policy's way through episodes."""

    episodes: Episodes
    #: All that was written.
    workspace: Workspace
    #: By step: the workspace as it was when the policy began to act there.
    _starts: list[Workspace]

    def start(self, t: int) -> Workspace:
        """Return a workspace as it was when the policy began to act at step `t`."""
        return _copied(self._starts[t], t)


@dataclass
class Dependence:
    """What a variable's past changes at each frame, `[T, B]` each."""

    #: Where it changes what is written for another environment.
    mixes: Tensor
    #: By name, where it changes what is written, by what it was earlier in the episode, and in episodes before.
    carries: dict[str, Tensor] = field(default_factory=dict)
    leaks: dict[str, Tensor] = field(default_factory=dict)

    @property
    def carried(self) -> Tensor:
        """Where anything depends on what it was earlier in the episode."""
        return torch.stack([self.mixes & False, *self.carries.values()]).any(0)

    @property
    def leaked(self) -> Tensor:
        """Where anything depends on what it was in episodes before."""
        return torch.stack([self.mixes & False, *self.leaks.values()]).any(0)

    def lasts(self, variable: str) -> bool:
        """Return whether the variable depends on its own past."""
        return any(variable in one and bool(one[variable].any()) for one in (self.carries, self.leaks))


def run_through(policy: Any, episodes: Episodes, kwargs: Mapping[str, Any]) -> Run:
    """Let a copy of `policy` act on episodes."""
    workspace, starts = Workspace(), []
    with acting_copy(policy, kwargs) as (_, act):
        for t in range(len(episodes.timestep)):
            episodes.write(workspace, t)
            starts.append(_copied(workspace, t))
            act(workspace, t)
    return Run(episodes, workspace, starts)


def _copied(workspace: Workspace, t: int) -> Workspace:
    """Return a workspace in which what is read at step `t` may be changed in place."""
    twin = Workspace(workspace)
    for name, variable in workspace.variables.items():
        for step in range(max(t - 1, 0), variable.time_size()):
            value = variable.peek(step)
            if value is not None:
                twin.set(name, step, value.clone(), writer=variable.writer)
    return twin


def dependence_of(policy: Any, variable: str, run: Run, other: Run, kwargs: Mapping[str, Any]) -> Dependence:
    """Return what depends on the past of a variable that `policy` writes.

    In `run` its earlier values are replaced by those of `other`, a run on other observations. So what every run writes
    alike, zeros for instance, is no past that anything could depend on.
    """
    n_steps, n_rows = run.episodes.timestep.shape
    found = Dependence(torch.zeros(n_steps, n_rows, dtype=torch.bool))
    for past, kind in ((False, found.carries), (True, found.leaks)):
        for parity in range(min(2, n_rows)):
            own = torch.arange(n_rows) % 2 == parity
            with acting_copy(policy, kwargs) as (_, act):
                for t in range(n_steps):
                    workspace = _with_other_past(run, other, variable, t, own, past)
                    for name, changed in _changed(run, workspace, act, t).items():
                        if len(changed) != n_rows:  # batches of another size are no rows of environments
                            found.mixes[t] |= changed.any()
                            changed = changed.any().expand(n_rows)
                        rows = kind.setdefault(name, torch.zeros(n_steps, n_rows, dtype=torch.bool))
                        rows[t] |= changed & own
                        found.mixes[t] |= changed & ~own
    return found


def _with_other_past(run: Run, other: Run, variable: str, t: int, own: Tensor, past: bool) -> Workspace:
    """Return the workspace of step `t` in which the variable was another in `own` rows.

    It was so at all earlier steps of the episodes before (`past`), or of the present one.
    """
    workspace = run.start(t)
    former, start = other.start(t), t - run.episodes.timestep[t]  # the last is that of each row's episode
    for step in range(workspace.time_size(variable) if variable in workspace else 0):
        # What was written ahead of time is what stands before the present step.
        at = min(step, t - 1)
        rows = own & ((at < start) if past else (at >= start))
        value, replaced = (one.variables[variable].peek(step) for one in (workspace, former))
        if value is None or replaced is None or not rows.any():
            continue
        if value.ndim and len(value) == len(rows):
            replaced = torch.where(rows.view(-1, *[1] * (value.ndim - 1)), replaced, value)
        workspace.set(variable, step, replaced)
    return workspace


def _changed(run: Run, workspace: Workspace, act: Act, t: int) -> dict[str, Tensor]:
    """Act at step `t`, and return by variable which rows, `[B]`, are written differently than in `run`."""
    before = Workspace(workspace)
    act(workspace, t)
    found: dict[str, Tensor] = {}
    for name, variable in workspace.variables.items():
        for step in range(t, variable.time_size()):
            given = before.variables[name].peek(step) if name in before and step < before.time_size(name) else None
            value, usual = variable.peek(step), run.workspace.variables[name].peek(step)
            if value is not None and value is not given and usual is not None and value.ndim:
                rows = differing(value, usual)
                found[name] = rows | found[name] if name in found else rows
    return found


def differing(one: Tensor, other: Tensor) -> Tensor:
    """Return which rows of two tensors `[B, ...]` differ by more than rounding, `[B]`."""
    floating = one.is_floating_point()
    differs = ((one - other).abs() > CLOSE * (1 + other.abs())) if floating else one != other
    return differs.flatten(1).any(1) if one.ndim > 1 else differs
