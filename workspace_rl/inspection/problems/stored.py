"""Stored values that are missing, or used where fresh ones or those of another step are meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workspace_rl.errors import did_you_mean
from workspace_rl.inspection.problems.problem import Problem
from workspace_rl.inspection.recording.accesses import REPLAYED, Call
from workspace_rl.inspection.tracing.trace import Trace

#: What environments write, behind their prefix.
ENVIRONMENT_VARIABLES = {"env_obs", "reward", "terminated", "truncated", "done", "timestep"}


def missing_stored(traced: Trace) -> Iterator[Problem]:
    """Yield variables that are to be stored and that no agent writes while collecting."""
    failed = {one.call.part for one in traced.failures}
    parts = [one for one in traced.parts if one.startswith("collecting") and one not in failed]
    for part in parts if traced.stored else ():
        accesses = traced.recorder.accesses
        written = dict.fromkeys(one.variable for one in accesses if one.writes and one.call.part == part)
        for name in traced.stored:
            if name not in written:
                yield Problem(
                    "never written",
                    f"{traced.stored_by} names {name!r}, which no agent writes when {part}."
                    f"{did_you_mean(name, written)} It can store {', '.join(written)}.",
                    True,
                )


def stale(traced: Trace) -> Iterator[Problem]:
    """Yield stored values of the policy that are used where fresh ones are meant."""
    policy = policy_variables(traced)
    siblings = _written_together(traced)
    fresh: dict[tuple[int, str, int | None], Call] = {}
    transitions = has_transitions(traced)
    for access in traced.recorder.accesses:
        if not access.call.part.startswith("update"):
            continue
        if access.writes:
            fresh[access.workspace, access.variable, access.step] = access.call
            continue
        if access.source is None or access.source.kind != REPLAYED or access.step is None or access.call.prepares:
            continue
        mixed = [one for one in siblings.get(access.variable, ()) if (access.workspace, one, access.step) in fresh]
        if mixed:
            other = mixed[0]
            writer = fresh[access.workspace, other, access.step]
            yield Problem(
                "stale",
                f"{access.call} reads the stored (replayed) {access.variable!r} at step {access.step}, while "
                f"{other!r} at that step is a fresh one of {writer}: they do not belong together. Let "
                f"{writer.name!r} write both in the update, and do not store {access.variable!r}.",
                False,
            )
        elif transitions and access.step == 1 and access.variable in policy:
            yield Problem(
                "stale",
                f"{access.call} reads the stored (replayed) {access.variable!r} at step {access.step}, what "
                f"{policy[access.variable]} chose when it was collected. Targets ask what the policy would do now: run "
                f"it in the update at t={access.step} first.",
                False,
            )


def early_rewards(traced: Trace) -> Iterator[Problem]:
    """Yield stored rewards that are read at the step of the action for which they are meant, one too early."""
    for access in traced.recorder.accesses:
        stored = access.source is not None and access.source.kind == REPLAYED
        reward = access.variable.endswith("/reward") and access.step == 0 and not access.writes
        if reward and stored and access.call.is_function and not access.call.prepares:
            yield Problem(
                "time",
                f"{access.call} reads {access.variable!r} at step 0, the reward for the action before. The reward for "
                f"the action at t is {access.variable!r} at t+1: read step 1.",
                False,
            )


def unseen_steps(traced: Trace) -> list[str]:
    """Return one sentence for each whole variable whose steps have a meaning that was not looked at."""
    if not has_transitions(traced):
        return []
    policy = policy_variables(traced)
    names: dict[tuple[str, str], None] = {}
    for access in traced.recorder.accesses:
        whole = access.step is None and not access.writes and access.call.part.startswith("update")
        meant = access.variable in policy or access.variable.endswith("/reward")
        if whole and meant and access.call.is_function and not access.call.prepares:
            names[str(access.call), access.variable] = None
    return [f"which steps of the whole variable {name!r} {call} means." for call, name in names]


def has_transitions(traced: Trace) -> bool:
    """Return whether step 1 is what follows step 0; longer windows may be sequences, whose actions are all inputs."""
    return traced.window == 2 or any(call.name == "n_step_transitions" for call in traced.recorder.calls)


def policy_variables(traced: Trace) -> dict[str, str]:
    """Return the names of what the policy has chosen, each with who did."""
    accesses = traced.recorder.accesses
    if "collecting" in traced.parts:
        collected = [one for one in accesses if one.writes and one.call.part == "collecting"]
        return {one.variable: repr(one.call.name) for one in collected if not one.call.environment}
    # A function is given a batch alone: what no environment writes is the policy's.
    names = {one.variable for one in accesses if one.source is not None and one.source.kind == REPLAYED}
    names |= {*traced.batch}
    prefixes = {name.rpartition("/")[0] for name in names if name.rpartition("/")[2] in ENVIRONMENT_VARIABLES}
    return {name: "the policy" for name in names if prefixes and name.rpartition("/")[0] not in prefixes}


def _written_together(traced: Trace) -> dict[str, set[str]]:
    """Return for each variable those that a single call writes beside it."""
    together: dict[str, set[str]] = {}
    names = {one.variable for one in traced.recorder.accesses}
    # The log-probabilities of `x` are those of the same draw, whoever wrote them.
    pairs = ((name, name.removesuffix("_logprobs")) for name in names)
    by_call: dict[Any, set[str]] = {name: {name, drawn} for name, drawn in pairs if name != drawn}
    for access in traced.recorder.accesses:
        if access.writes and not access.call.environment and not access.call.is_function:
            by_call.setdefault(id(access.call), set()).add(access.variable)
    for names in by_call.values():
        for name in names:
            together.setdefault(name, set()).update(names - {name})
    return together
