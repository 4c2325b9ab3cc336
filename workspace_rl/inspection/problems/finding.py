"""All problems that a trace shows, in the order in which they are told, and what it could not follow."""

from __future__ import annotations

from collections.abc import Iterator

from workspace_rl.inspection.problems.failures import failures
from workspace_rl.inspection.problems.losses import broadcasts, idle_optimizers, learning_mistakes
from workspace_rl.inspection.problems.memories import memory_mistakes, resets_that_count, unread_states
from workspace_rl.inspection.problems.problem import Problem
from workspace_rl.inspection.problems.rollouts import rollout_mistakes
from workspace_rl.inspection.problems.running import running_mistakes
from workspace_rl.inspection.problems.stored import early_rewards, missing_stored, policy_variables, stale
from workspace_rl.inspection.problems.written import overwritten, padded
from workspace_rl.inspection.tracing.trace import Trace


def find_problems(traced: Trace) -> Iterator[Problem]:
    """Yield the problems that a trace shows."""
    yield from failures(traced)
    yield from missing_stored(traced)
    yield from overwritten(traced)
    yield from stale(traced)
    yield from padded(traced)
    yield from early_rewards(traced)
    yield from learning_mistakes(traced, policy_variables(traced))
    yield from rollout_mistakes(traced, policy_variables(traced))
    yield from running_mistakes(traced)
    yield from memory_mistakes(traced)
    yield from unread_states(traced)
    yield from resets_that_count(traced)
    yield from idle_optimizers(traced)
    yield from broadcasts(traced)


def describe_untraced(traced: Trace) -> list[str]:
    """Return one sentence for each thing that could not be traced."""
    calls = {(call.name, call.untraced): call for call in traced.recorder.calls if call.untraced}
    return [*traced.notes, *(f"{call} was not traced to its end: {call.untraced}." for call in calls.values())]
