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

#: What is written, `[T, B, ...]` by name, and how an agent runs over a workspace.
Written = Mapping[str, Tensor]
Way = Callable[[Any, Workspace, Mapping[str, Any]], None]


def faults_again(agent: nn.Module, memories: Sequence[str], run: Run, kwargs: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with an agent that runs again on what is stored, from step `START` on.

    It may begin with the state that it had, or with none. What it does at a step is right already.
    """
    said, trial = described(agent), _Again(agent, memories, run, kwargs)
    anew = trial.written(None, _step_by_step)
    if anew is None:
        return
    if not trial.is_one_of(trial.written(memories, _step_by_step), trial.usual, anew):
        yield Fault(STORED, said, tuple(memories))
    if declares(agent, memories[0]) and not trial.is_one_of(trial.written((), _step_by_step), trial.usual):
        yield Fault(UNREAD, said, tuple(memories))
    if not _runs_over_all(agent):
        return
    for given, right in ((None, (anew,)), (memories, (trial.usual, anew))):
        whole = trial.written(given, _at_once)
        if whole is not None and not trial.is_one_of(whole, *right):
            yield Fault(WHOLE, said, tuple(memories), trial.where(whole, anew))
            return


class _Again:
    """An agent that runs again."""

    def __init__(self, agent: nn.Module, memories: Sequence[str], run: Run, kwargs: Mapping[str, Any]) -> None:
        self.agent, self.memories, self.run, self.kwargs = agent, memories, run, kwargs
        own = [name for name, one in run.workspace.variables.items() if one.writer == getattr(agent, "_name", None)]
        #: What it writes besides its state.
        self.others = [name for name in own if name not in memories]
        #: What it has written before.
        self.usual = {name: run.workspace.get_full(name)[START:] for name in (*memories, *self.others)}

    def written(self, given: Collection[str] | None, way: Way) -> Written | None:
        """Return what a copy writes where it runs in a `way`, None if it cannot.

        The workspace has what was written from step `START` on; of the state nothing (None), what it was before, or
        `given` variables besides.
        """
        workspace, source = Workspace(), self.run.workspace
        for name in source:
            if name not in self.memories or name in (given or ()):
                workspace.set_full(name, source.get_full(name)[START:])
        for name in self.memories if given is not None else ():
            workspace.set_full(before(name), source.get_full(name)[START - 1 : START])
        with acting_copy(self.agent, self.kwargs) as (twin, _):
            try:
                way(twin, workspace, self.kwargs)
            except Exception:  # whatever it needs is not there
                return None
        # What is written ahead of time begins later.
        firsts = {name: int(workspace.variables[name].peek(0) is None) for name in self.usual}
        return {name: workspace.get_full(name)[first:] for name, first in firsts.items()}

    def is_one_of(self, found: Written | None, *right: Written) -> bool:
        """Return whether what each environment has got is that of one of several right runs, or there is nothing.

        Parts of a state that count no more may differ, if nothing else does.
        """
        if found is None:
            return True
        shared = {name: min(map(len, (one[name] for one in (found, *right)))) for name in found}
        rows = []
        for one in right:
            same = {name: _alike(found[name][-n:], one[name][-n:]).all(0) for name, n in shared.items()}
            groups = [[same[name] for name in group] for group in (self.memories, self.others) if group]
            rows.append(torch.stack([torch.stack(group).all(0) for group in groups]).any(0))
        return bool(torch.stack(rows).any(0).all())

    def where(self, whole: Written, right: Written) -> str:
        """Return "reset" if they differ in later episodes alone."""
        first = self.run.episodes.begins[START:].cumsum(0) == 0
        same = all(bool(_alike(whole[name], right[name])[first].all()) for name in self.memories)
        return "reset" if same else ""


def _step_by_step(agent: Any, workspace: Workspace, kwargs: Mapping[str, Any]) -> None:
    for t in range(STEPS - START):
        agent(workspace, t=t, **kwargs)


def _at_once(agent: Any, workspace: Workspace, kwargs: Mapping[str, Any]) -> None:
    agent(workspace, **kwargs)


def _runs_over_all(agent: nn.Module) -> bool:
    t = inspect.signature(agent.forward).parameters.get("t")
    return t is not None and t.default is None


def _alike(one: Tensor, other: Tensor) -> Tensor:
    """Return where states are the same but for rounding, `[T, B]`."""
    if one.shape != other.shape:
        return torch.zeros(other.shape[:2], dtype=torch.bool)
    same = torch.isclose(one, other, rtol=1e-3, atol=1e-4) if one.is_floating_point() else one == other
    return same.flatten(2).all(2) if same.ndim > 2 else same
