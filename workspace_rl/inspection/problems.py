"""What is wrong with a composition, by what a trace of it has seen."""

from __future__ import annotations

import html
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from workspace_rl.errors import (
    CompositionError,
    UnknownVariableError,
    UnwrittenStepError,
    WorkspaceError,
    WorkspaceRLError,
    did_you_mean,
)
from workspace_rl.inspection.mistakes import learning_mistakes, running_mistakes
from workspace_rl.inspection.problem import Problem as Problem
from workspace_rl.inspection.tracing.recording import PREPARING, REPLAYED, Access, Call
from workspace_rl.inspection.tracing.tracing import Failure, Inputs, Trace, trace

#: What environments write, behind their prefix.
ENVIRONMENT_VARIABLES = {"env_obs", "reward", "terminated", "truncated", "done", "timestep"}


class Problems(Sequence[Problem]):
    """The problems of a composition, those that would make it fail first; empty, and false, if there are none."""

    def __init__(self, name: str, problems: Sequence[Problem], notes: Sequence[str] = ()) -> None:
        """List the problems of what is called `name`; `notes` say what could not be looked at."""
        unique = dict.fromkeys(problems)
        self.name = name
        self.notes = list(notes)
        self._problems = sorted(unique, key=lambda one: not one.fatal)

    def __getitem__(self, index: Any) -> Any:
        """Return one problem, or some of them."""
        return self._problems[index]

    def __len__(self) -> int:
        """Return the number of problems."""
        return len(self._problems)

    @property
    def fatal(self) -> list[Problem]:
        """Those that would make the program fail."""
        return [one for one in self if one.fatal]

    def __str__(self) -> str:
        """Return one paragraph for each."""
        if not self:
            head = f"{self.name}: no problems found"
        else:
            head = f"{self.name}: {len(self)} problem{'s' * (len(self) > 1)} found"
        return "\n".join([head, *(f"  {one}" for one in self), *(f"  not looked at: {one}" for one in self.notes)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre style='white-space:pre-wrap'>{html.escape(str(self))}</pre>"


def check(target: Any, inputs: Inputs = None, *, strict: bool = False, **kwargs: Any) -> Problems:
    """Find what is wrong with a composition before it runs: nothing is computed, and no environment is stepped.

        check(SAC(config))                                # collecting, evaluation and update
        check(TemporalAgent(Agents(env_agent, policy)), stop_variable="env/done")
        check(critic, inputs={"env/env_obs": env_agent.observation_space, "action": env_agent.action_space})
        check(update, inputs=buffer)                      # a function of a batch

    It finds variables that are read but written by nobody, only at other steps, or later; that one agent writes over
    another's; shapes and dtypes that do not fit; stored values that are used where fresh ones are meant; losses that do
    not depend on what they are to train, or that combine each value of a batch with all others. A table of mistakes and
    messages is in docs/composition-mistakes.md. What a trace cannot follow is said in `notes`, and is no problem.

    Args:
        target: an agent, an algorithm, or a function of a batch.
        inputs: what others write before: see `trace`.
        strict: raise if there are problems.
        **kwargs: given to the agent or function.

    Raises:
        CompositionError: `strict`, and there are problems; or `target` or `inputs` are nothing that can be traced.
    """
    traced = trace(target, inputs, **kwargs)
    problems = _problems_of(traced)
    if strict and problems:
        raise CompositionError(str(problems))
    return problems


def check_before_training(algorithm: Any) -> Trace:
    """Warn of what is wrong with an algorithm, refuse to train what would fail, and return its trace.

    Raises:
        CompositionError: it would fail.
    """
    traced = trace(algorithm)
    problems = _problems_of(traced)
    if problems.fatal:
        raise CompositionError(str(problems))
    for problem in problems:
        warnings.warn(str(problem), stacklevel=3)
    return traced


def _problems_of(traced: Trace) -> Problems:
    return Problems(traced.name, list(find_problems(traced)), [*describe_untraced(traced), *_unseen_steps(traced)])


def find_problems(traced: Trace) -> Iterator[Problem]:
    """Yield the problems that a trace shows."""
    yield from _failures(traced)
    yield from _missing_stored(traced)
    yield from _overwritten(traced)
    yield from _stale(traced)
    yield from _padded(traced)
    yield from _rewards_too_early(traced)
    yield from learning_mistakes(traced, _policy_variables(traced))
    yield from running_mistakes(traced)
    for idle in traced.idle_steps:
        yield Problem(
            "no gradient",
            f"{idle.optimizer!r} takes a step, but the loss that it minimises (after {idle.call}) depends on none of "
            "its parameters, so nothing is learned. Run the agent that it trains before the loss, without "
            "torch.no_grad() and detach(), and build the optimiser from that agent's parameters.",
            fatal=False,
        )
    for broadcast in {(one.call.name, one.line): one for one in traced.broadcasts}.values():
        yield Problem(
            "broadcast",
            f"{broadcast.call} combines [B] with [B, 1] (line {broadcast.line}, {broadcast.operation}), which gives "
            "[B, B]: each value of the batch is combined with all others. Bring both to the same shape, for instance "
            "by squeeze(-1) of what a network with one output gives.",
            fatal=False,
        )


def describe_untraced(traced: Trace) -> list[str]:
    """Return one sentence for each thing that could not be traced."""
    calls = {(call.name, call.untraced): call for call in traced.recorder.calls if call.untraced}
    return [*traced.notes, *(f"{call} was not traced to its end: {call.untraced}." for call in calls.values())]


def _unseen_steps(traced: Trace) -> list[str]:
    """Return one sentence for each whole variable whose steps have a meaning that was not looked at."""
    if not _has_transitions(traced):
        return []
    policy = _policy_variables(traced)
    names: dict[tuple[str, str], None] = {}
    for access in traced.recorder.accesses:
        whole = access.step is None and not access.writes and access.call.part.startswith("update")
        meant = access.variable in policy or access.variable.endswith("/reward")
        if whole and meant and access.call.is_function and not prepares(access.call):
            names[str(access.call), access.variable] = None
    return [f"which steps of the whole variable {name!r} {call} means." for call, name in names]


# ---- what would fail ----------------------------------------------------------------------------------------------


def _failures(traced: Trace) -> Iterator[Problem]:
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
    known = dict.fromkeys(one.variable for one in accesses)
    hint = did_you_mean(variable, [one for one in known if one != variable])
    if call.part.startswith("update") and traced.stored:
        way_out = f"Run the agent that writes it, or store it: stored_variables has {', '.join(traced.stored)}."
    else:
        way_out = "Add the agent that writes it before, or name it in inputs= if it comes from outside."
    return Problem("never written", f"{what}, which nobody writes.{hint} {way_out}", True)


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
        f"{one.variable!r} {layout(one)}{f' {one.source}' if one.source is not None else ''}" for one in failure.reads
    )
    return f" It has read {listed}. Build it for inputs of these sizes and dtypes, or change what writes them."


def layout(access: Access) -> str:
    """Return shape and dtype, `[B, 3] float32`."""
    shape = list(map(str, access.shape))
    index = 0 if access.step is not None else 1
    if len(shape) > index:
        shape[index] = "B"
    if access.step is None and shape:
        shape[0] = "T"
    return f"[{', '.join(shape)}] {str(access.dtype).removeprefix('torch.')}"


# ---- what would run -----------------------------------------------------------------------------------------------


def _missing_stored(traced: Trace) -> Iterator[Problem]:
    failed = {one.call.part for one in traced.failures}
    parts = [one for one in traced.parts if one.startswith("collecting") and one not in failed]
    for part in parts if traced.stored else ():
        accesses = traced.recorder.accesses
        written = dict.fromkeys(one.variable for one in accesses if one.writes and one.call.part == part)
        for name in traced.stored:
            if name not in written:
                yield Problem(
                    "never written",
                    f"stored_variables names {name!r}, which no agent writes when {part}."
                    f"{did_you_mean(name, written)} It can store {', '.join(written)}.",
                    True,
                )


def _overwritten(traced: Trace) -> Iterator[Problem]:
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


def _stale(traced: Trace) -> Iterator[Problem]:
    """Yield stored values of the policy that are used where fresh ones are meant."""
    policy = _policy_variables(traced)
    siblings = _written_together(traced)
    fresh: dict[tuple[int, str, int | None], Call] = {}
    transitions = _has_transitions(traced)
    for access in traced.recorder.accesses:
        if not access.call.part.startswith("update"):
            continue
        if access.writes:
            fresh[access.workspace, access.variable, access.step] = access.call
            continue
        if access.source is None or access.source.kind != REPLAYED or access.step is None or prepares(access.call):
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


def _has_transitions(traced: Trace) -> bool:
    """Return whether step 1 is what follows step 0; longer windows may be sequences, whose actions are all inputs."""
    return traced.window == 2 or any(call.name == "n_step_transitions" for call in traced.recorder.calls)


def _policy_variables(traced: Trace) -> dict[str, str]:
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


def prepares(call: Call) -> bool:
    """Return whether a call is one of this library's functions that put what is stored into the form of transitions."""
    return call.is_function and call.name in PREPARING


def _padded(traced: Trace) -> Iterator[Problem]:
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


def _rewards_too_early(traced: Trace) -> Iterator[Problem]:
    for access in traced.recorder.accesses:
        stored = access.source is not None and access.source.kind == REPLAYED
        reward = access.variable.endswith("/reward") and access.step == 0 and not access.writes
        if reward and stored and access.call.is_function and not prepares(access.call):
            yield Problem(
                "time",
                f"{access.call} reads {access.variable!r} at step 0, the reward for the action before. The reward for "
                f"the action at t is {access.variable!r} at t+1: read step 1.",
                False,
            )
