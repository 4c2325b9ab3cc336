"""Memories that run again on what is stored, as learning does it: they have to write what they wrote before."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workspace_rl.agent import before
from workspace_rl.inspection.memories.acting import acting_copy, declares, described
from workspace_rl.inspection.memories.dependence import Run
from workspace_rl.inspection.memories.episodes import STEPS
from workspace_rl.inspection.memories.faults import STORED, UNREAD, WHOLE, Fault
from workspace_rl.workspace import Workspace

#: The step from which on it runs again: some environments are in the middle of an episode there.
START = 2


def faults_again(agent: nn.Module, memories: Collection[str], run: Run, kwargs: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with an agent that runs again on what is stored, from step `START` on.

    It may begin with the state that it had, or with none. What it does at a step is right already.
    """
    names = [*memories]
    usual = {name: run.workspace.get_full(name)[START:] for name in names}
    anew = _again(agent, _stored(run, names, None), names, kwargs, _step_by_step)
    if anew is None:
        return
    stored = _again(agent, _stored(run, names, names), names, kwargs, _step_by_step)
    if stored is not None and not _one_of(stored, (usual, anew)):
        yield Fault(STORED, described(agent), tuple(names))
    told = _again(agent, _stored(run, names, ()), names, kwargs, _step_by_step)
    if told is not None and declares(agent, names[0]) and not _one_of(told, (usual,)):
        yield Fault(UNREAD, described(agent), tuple(names))
    if not _runs_over_all(agent):
        return
    for given in (None, names):
        whole = _again(agent, _stored(run, names, given), names, kwargs, _at_once)
        if whole is not None and not _one_of(whole, (usual, anew) if given else (anew,)):
            yield Fault(WHOLE, described(agent), tuple(names), _where(whole, anew, run))
            return


def _stored(run: Run, names: Collection[str], given: Collection[str] | None) -> Workspace:
    """Return what was written from step `START` on: without the state, with that before it, or with all of it too."""
    workspace = Workspace()
    for name in run.workspace:
        if name not in names or name in (given or ()):
            workspace.set_full(name, run.workspace.get_full(name)[START:])
    for name in names if given is not None else ():
        workspace.set_full(before(name), run.workspace.get_full(name)[START - 1 : START])
    return workspace


def _again(
    agent: nn.Module,
    workspace: Workspace,
    names: Sequence[str],
    kwargs: Mapping[str, Any],
    way: Callable[[Any, Workspace, Mapping[str, Any]], None],
) -> dict[str, Tensor] | None:
    """Return what a copy of `agent` writes to its state variables, None if it cannot run so."""
    with acting_copy(agent, kwargs) as (twin, _):
        try:
            way(twin, workspace, kwargs)
            unwritten = workspace.variables[names[0]].peek(0) is None  # what is written ahead of time begins later
            return {name: workspace.get_full(name)[unwritten:] for name in names}
        except Exception:  # whatever it needs is not there
            return None


def _step_by_step(agent: Any, workspace: Workspace, kwargs: Mapping[str, Any]) -> None:
    for t in range(STEPS - START):
        agent(workspace, t=t, **kwargs)


def _at_once(agent: Any, workspace: Workspace, kwargs: Mapping[str, Any]) -> None:
    agent(workspace, **kwargs)


def _runs_over_all(agent: nn.Module) -> bool:
    t = inspect.signature(agent.forward).parameters.get("t")
    return t is not None and t.default is None


def _one_of(found: Mapping[str, Tensor], right: Sequence[Mapping[str, Tensor]]) -> bool:
    """Return whether each environment's states, `[T, B, ...]`, are those of one of several right runs."""
    shared = {name: min(map(len, (found[name], *(one[name] for one in right)))) for name in found}
    fits = [
        torch.stack([_alike(found[name][-n:], one[name][-n:]).all(0) for name, n in shared.items()]).all(0)
        for one in right
    ]
    return bool(torch.stack(fits).any(0).all())


def _alike(one: Tensor, other: Tensor) -> Tensor:
    """Return where states are the same but for rounding, `[T, B]`."""
    if one.shape != other.shape:
        return torch.zeros(other.shape[:2], dtype=torch.bool)
    same = torch.isclose(one, other, rtol=1e-3, atol=1e-4) if one.is_floating_point() else one == other
    return same.flatten(2).all(2) if same.ndim > 2 else same


def _where(whole: Mapping[str, Tensor], right: Mapping[str, Tensor], run: Run) -> str:
    """Return "reset" if they differ in later episodes alone."""
    first = run.episodes.begins[START:].cumsum(0) == 0
    same = all(bool(_alike(whole[name], right[name])[first].all()) for name in whole)
    return "reset" if same else ""
