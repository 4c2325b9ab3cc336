"""What tables and pictures show of a trace, and how they name steps."""

from __future__ import annotations

from workspace_rl.inspection.problems.finding import describe_untraced, find_problems
from workspace_rl.inspection.tracing.trace import Trace


def shown_parts(traced: Trace) -> list[str]:
    """Return the parts of a trace that tell the most: all of an agent's; collecting and an update of an algorithm."""
    updates = [one for one in traced.parts if one.startswith("update")]
    return [one for one in traced.parts if one in ("running", "collecting", "preparing")] + updates[-1:]


def notes_of(traced: Trace) -> list[str]:
    """Return why a table or a picture may end early, one sentence each: what could not be traced, and what fails."""
    return [*describe_untraced(traced), *(str(one) for one in find_problems(traced) if one.fatal)]


def step_name(offset: int | None) -> str:
    """Return "t", "t+1", "t-1"; "all steps" for None."""
    if offset is None:
        return "all steps"
    return f"t{offset:+d}" if offset else "t"
