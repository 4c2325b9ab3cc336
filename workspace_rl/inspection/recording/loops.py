"""Loops through time: what agents write at a step and read at the next one."""

from __future__ import annotations

from collections.abc import Sequence

from workspace_rl.agent import before
from workspace_rl.inspection.recording.accesses import Access

#: How variables end that hold what a state was before the first step.
BEFORE = before("")


def memory_of(accesses: Sequence[Access]) -> set[tuple[str, str]]:
    """Return what is memory, by agent and variable: what an agent declares, or reads at a step before that of its call.

    That is only of what it writes itself, and for nobody but agents: actions that environments take are no memory.
    """
    agents = [one for one in accesses if not one.call.environment and not one.call.is_function]
    taken = {one.variable for one in accesses if one.call.environment and not one.writes}
    written = {(one.call.name, one.variable) for one in agents if one.writes and one.variable not in taken}
    looked_back = {
        (one.call.name, one.variable)
        for one in agents
        if not one.writes and one.step is not None and one.call.t is not None and one.step < one.call.t
    }
    # Copies for targets write the same behind a prefix, and declare nothing.
    states = tuple({state for one in agents for state in one.call.states})
    return {one for one in written if one in looked_back or (states and one[1].endswith(states))}
