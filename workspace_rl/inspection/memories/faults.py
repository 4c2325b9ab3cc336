"""What is wrong with a memory, by what depends on its past."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from workspace_rl.inspection.memories.dependence import Dependence
from workspace_rl.inspection.memories.episodes import Episodes

#: What may be wrong.
NEVER, EARLY, LATE, PARTLY, INVERTED, SHORT, FORGETS, TOGETHER, MIXES, STORED, WHOLE, UNREAD, HIDDEN = (
    "never", "early", "late", "partly", "inverted", "short", "forgets", "together", "mixes", "stored", "whole",
    "unread", "hidden",
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a memory."""

    kind: str
    #: Who keeps it, for messages.
    agent: str
    #: What it is kept in.
    variables: tuple[str, ...]
    #: What there is to say besides.
    detail: str = ""


def faults_of(agent: str, variable: str, found: Dependence, episodes: Episodes) -> Iterator[Fault]:
    """Yield what is wrong with a variable that depends on its own past."""
    if found.mixes.any():
        yield Fault(MIXES, agent, (variable,))
        return
    begins, carried, leaked = episodes.begins, found.carried, found.leaked
    inner = (episodes.timestep > 1) & ~episodes.done
    last = (episodes.timestep > 1) & episodes.done
    second = (episodes.timestep == 1) & ~episodes.done
    kept_last, kept_second = carried[last].any(), carried[second].any()
    if leaked.any():
        if not carried.any():
            yield Fault(INVERTED, agent, (variable,))
        elif not kept_last:
            yield Fault(EARLY, agent, (variable,), "leaks")
        elif not kept_second:
            yield Fault(LATE, agent, (variable,))
        elif not leaked[begins].all():
            yield Fault(PARTLY, agent, (variable,), _where_it_leaks(leaked, episodes))
        else:
            yield Fault(NEVER, agent, (variable,))
    elif not carried[inner].any():
        yield Fault(SHORT, agent, (variable,))
    elif not kept_last:
        yield Fault(EARLY, agent, (variable,))
    elif not kept_second:
        yield Fault(LATE, agent, (variable,), "twice")
    beside = begins.any(1, keepdim=True) & ~begins & (episodes.timestep > 0)
    alone = ~begins.any(1, keepdim=True) & (episodes.timestep > 0)
    if carried[alone].any() and beside.any() and not carried[beside].any():
        yield Fault(TOGETHER, agent, (variable,))


def _where_it_leaks(leaked: Tensor, episodes: Episodes) -> str:
    before = torch.roll(leaked & episodes.begins, -1, 0)  # at the last frames of the episodes before
    if not before[episodes.truncated].any():
        return "terminated"
    return "truncated" if not before[episodes.terminated].any() else ""
