"""What would fail: errors that came up while a composition was traced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from workspace_rl.errors import (
    UnknownVariableError,
    UnwrittenStepError,
    WorkspaceError,
    WorkspaceRLError,
    did_you_mean,
)
from workspace_rl.inspection.problems.problem import Problem
from workspace_rl.inspection.recording.accesses import Access, Call
from workspace_rl.inspection.tracing.trace import Failure, Trace

#: How memory begins.
BEGINNING = "Begin with zeros where there is no step before, and in all environments where 'env/timestep' is 0 at t."


def failures(traced: Trace) -> Iterator[Problem]:
    """Yield what each error means for the program; what follows from another one is left out."""
    broken: dict[str, bool] = {}  # parts in which something has failed: what follows may be its consequence
    told: set[tuple[str, str]] = set()
    for failure in traced.failures:
        error, part = failure.error, failure.call.part
        missing = isinstance(error, UnknownVariableError | UnwrittenStepError)
        if failure.untraceable:
            broken[part] = True
        elif missing:
            later = _written_later(traced, failure)
            # In a part that is broken, the variable's writer may be what broke.
            if later is not None or not broken.get(part):
                yield _missing(traced, failure, later)
            broken[part] = True
        else:
            cause = (failure.call.name, type(error).__name__)
            if cause not in told:  # once, not at each step and in each part
                yield _other_failure(failure)
            told.add(cause)
            broken[part] = True


def _written_later(traced: Trace, failure: Failure) -> Call | None:
    """Return the agent that writes the variable at the same step, but later."""
    error: Any = failure.error
    calls = traced.recorder.calls
    for access in traced.recorder.accesses:
        same = access.writes and access.variable == error.variable and access.step in (error.step, None)
        if same and access.call.part == failure.call.part and access.call.name != failure.call.name:
            if calls.index(access.call) > calls.index(failure.call) and access.call.t == failure.call.t:
                return access.call
    return None


def _missing(traced: Trace, failure: Failure, later: Call | None) -> Problem:
    error: Any = failure.error
    call, variable, step = failure.call, error.variable, error.step
    what = f"{call} reads variable {variable!r}" + ("" if step is None else f" at step {step}")
    if later is not None:
        return Problem("order", f"{what} before {later} writes it. Put {later.name!r} before {call.name!r}.", True)
    accesses = [one for one in traced.recorder.accesses if one.call.part == call.part]
    if step is not None and step < 0 and call.t == 0:
        return Problem("before the first step", f"{what}: at t = 0 there is no step before. {BEGINNING}", True)
    if _is_own(failure, accesses):
        return Problem(
            "state at t",
            f"{what}, before it has written it there: memory is what it wrote at the step before. Read {variable!r} at "
            f"t - 1, and write it at t. {BEGINNING}",
            True,
        )
    writers = [one for one in accesses if one.writes and one.variable == variable]
    steps = sorted({one.step for one in writers if one.step is not None})
    if writers and step is not None:
        who = writers[-1].call
        listed = ", ".join(map(str, steps))
        return Problem(
            "unwritten step",
            f"{what}, but {who} writes it only at step {listed}. Run {who.name!r} at t={step}, too, or read the step "
            "that is meant.",
            True,
        )
    hint = _hint(variable, accesses)
    if call.part.startswith("update") and traced.stored:
        way_out = f"Run the agent that writes it, or store it: {traced.stored_by} has {', '.join(traced.stored)}."
        if traced.adder:
            way_out += f" If {traced.adder} adds it to batches, name it in its attribute `added`."
    else:
        way_out = "Add the agent that writes it before, or name it in inputs= if it comes from outside."
        if not hint and step == call.t is not None and not call.environment:
            way_out += f" If it is the memory of {call.name!r} itself, read it at t - 1."
    return Problem("never written", f"{what}, which nobody writes.{hint} {way_out}", True)


def _is_own(failure: Failure, accesses: Sequence[Access]) -> bool:
    """Return whether what an agent misses is what it writes itself at the same step."""
    error: Any = failure.error
    call = failure.call
    if error.step is None or error.step != call.t or call.part.startswith("update"):
        return False
    writers = {one.call.name for one in accesses if one.writes and one.variable == error.variable}
    return writers == {call.name} or (not writers and call.remembers and not _hint(error.variable, accesses))


def _hint(variable: str, accesses: Sequence[Access]) -> str:
    return did_you_mean(variable, [one for one in {each.variable: None for each in accesses} if one != variable])


def _other_failure(failure: Failure) -> Problem:
    error, call = failure.error, failure.call
    at = "" if call.t is None else f" at t={call.t}"
    if isinstance(error, WorkspaceRLError):
        kind = "mismatch" if isinstance(error, WorkspaceError) else "composition"
        text = " ".join(str(one) for one in error.args)
        return Problem(kind, f"{call}{at}: {text}", True)
    first = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    if isinstance(error, TypeError) and "unexpected keyword argument" in first:
        way_out = "Keyword arguments reach every agent of a composition: write forward(self, t, **kwargs)."
        if ".update()" in first:
            way_out = "update is given what update_flags returns: write update(self, batch, **flags)."
        return Problem("arguments", f"{call}{at}: {first}. {way_out}", True)
    if "does not require grad" in first:
        return Problem(
            "no gradient",
            f"{call}: a loss is minimised that depends on no parameter that can learn ({first}). Run the agent that it "
            "trains before the loss, without torch.no_grad() and detach().",
            True,
        )
    if isinstance(error, RuntimeError):
        return Problem("shape or dtype", f"{call}{at} cannot compute: {first}.{_was_given(failure)}", True)
    return Problem("error", f"{call}{at} raises {type(error).__name__}: {first}.{_was_given(failure)}", True)


def _was_given(failure: Failure) -> str:
    if not failure.reads:
        return ""
    listed = ", ".join(
        f"{one.variable!r} {one.layout}{f' {one.source}' if one.source is not None else ''}" for one in failure.reads
    )
    return f" It has read {listed}. Build it for inputs of these sizes and dtypes, or change what writes them."
