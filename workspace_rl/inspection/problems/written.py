"""Values that are written over before anybody has read them, and steps that nobody writes."""

from __future__ import annotations

from collections.abc import Iterator

from workspace_rl.inspection.problems.problem import Problem
from workspace_rl.inspection.recording.accesses import Call
from workspace_rl.inspection.tracing.trace import Trace


def overwritten(traced: Trace) -> Iterator[Problem]:
    """Yield values of one agent that another one writes over before anybody has read them."""
    unread: dict[tuple[int, str, int | None], Call] = {}
    told: set[tuple[str, str, str]] = set()
    for access in traced.recorder.accesses:
        key = (access.workspace, access.variable, access.step)
        if not access.writes:
            for known in [one for one in unread if one[:2] == key[:2] and (access.step is None or one == key)]:
                del unread[known]
            continue
        before = unread.get(key)
        pair = (before.name if before is not None else "", access.call.name, access.variable)
        if before is not None and pair[0] != pair[1] and not access.call.is_function and pair not in told:
            told.add(pair)
            yield Problem(
                "written twice",
                f"{before} and {access.call} both write variable {access.variable!r} at step {access.step}, and nobody "
                "reads the first value. Give one of them another name or prefix: "
                f'copy.deepcopy(agent).with_prefix("target-{access.variable.split("/")[0]}/").',
                False,
            )
        unread[key] = access.call


def padded(traced: Trace) -> Iterator[Problem]:
    """Yield steps of whole variables that are used and that nobody has written."""
    for access in traced.recorder.accesses:
        update = access.call.part.startswith("update")
        if update and not access.writes and access.step is not None and access.source is None:
            yield Problem(
                "unwritten step",
                f"{access.call} uses step {access.step} of variable {access.variable!r}, which nobody writes: it is "
                f"zeros there. Run the agent that writes it at t={access.step}, too, or use the step that is meant.",
                False,
            )
