"""What is wrong with how agents run, though they do: endless loops, policies that explore or count, changed tensors."""

from __future__ import annotations

from collections.abc import Iterator

from workspace_rl.inspection.problems.problem import Problem
from workspace_rl.inspection.tracing.trace import Trace


def running_mistakes(traced: Trace) -> Iterator[Problem]:
    """Yield what is wrong with how agents run, though they do."""
    yield from _changed_in_place(traced)
    yield from _stops(traced)
    if traced.explores:
        yield Problem(
            "exploration",
            f"eval_policy explores: {traced.explores} differs from run to run on the same observations. Scores, films "
            "and the saved policy would be those of a policy that acts at random now and then: use its best action, "
            "for instance KWAgentWrapper(actor, stochastic=False) or GreedyAgent().",
            False,
        )
    for agent, buffers in traced.gathers.items():
        listed = ", ".join(map(repr, buffers))
        yield Problem(
            "statistics",
            f"{agent} changes its buffers {listed} by what it observes while it acts. What acting changes in the copy "
            "that collects is lost at the next update, and put back after each score: such statistics are those of no "
            "run. Change them where the learner sees what was collected: ObservationNormalizer of "
            "workspace_rl.agents does so.",
            False,
        )


def _changed_in_place(traced: Trace) -> Iterator[Problem]:
    told: set[tuple[str, str]] = set()
    for change in traced.recorder.changes.found:
        key = (change.by, change.variable)
        if key in told:
            continue
        told.add(key)
        step = "" if change.step is None else f" at step {change.step}"
        yield Problem(
            "changed in place",
            f"{change.by} changes the tensor of variable {change.variable!r}{step} in place after it was "
            f"{'written' if change.written else 'read'}: all who read it later, and the replay buffer, get the changed "
            "values. Make a new tensor (x = x / 10 instead of x /= 10), or clone() it before.",
            False,
        )


def _stops(traced: Trace) -> Iterator[Problem]:
    accesses = traced.recorder.accesses
    for stop in traced.stops:
        writers = [
            one.call
            for one in accesses
            if one.writes and one.variable == stop.variable and one.call.part == stop.part and one.call.resets
        ]
        if writers and stop.unlimited:
            yield Problem(
                "stop",
                f"{stop.agent} stops where {stop.variable!r} is true for all environments at once, but "
                f"{writers[0].name!r} resets each of its environments by itself: they end at different steps, and the "
                "loop goes on until they happen to end together. Build the environments with auto_reset=False to play "
                "one episode each, or give n_steps.",
                False,
            )
