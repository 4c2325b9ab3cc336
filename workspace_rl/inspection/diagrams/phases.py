"""From a trace to the rows and columns of a diagram: what runs, and which values it touches."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from workspace_rl.inspection.recording.accesses import GIVEN, MOVING, Access, Call
from workspace_rl.inspection.recording.loops import BEFORE, memory_of
from workspace_rl.inspection.tracing.trace import Trace
from workspace_rl.inspection.wording import shown_parts, step_name

#: Columns: one value, a variable at a step, None for all of its steps.
Value = tuple[str, int | None]


@dataclass(frozen=True)
class Mark:
    """Where an agent touches a value."""

    value: Value
    writes: bool
    #: Where the value comes from, as `picture.COLOURS` has it.
    kind: str


@dataclass
class Step:
    """One row: a call with what it reads and writes."""

    label: str
    detail: str
    marks: list[Mark]
    is_function: bool = False
    #: What it does with values that it does not write.
    verb: str = "reads"
    #: The name of the agent, if it is one.
    agent: str = ""


@dataclass(frozen=True)
class Loop:
    """What an agent writes at a step and reads at the next one."""

    first: int
    second: int
    agent: str
    variables: tuple[str, ...]


@dataclass
class Phase:
    """Rows that work on the same workspace."""

    title: str
    steps: list[Step] = field(default_factory=list)
    #: Loops through time: of two of `steps`, the first remembers for the second; they are one that runs over all steps.
    loops: list[Loop] = field(default_factory=list)
    #: The values in the order of their columns, with shape and dtype.
    values: dict[Value, str] = field(default_factory=dict)


def phases_of(traced: Trace) -> list[Phase]:
    """Return what a diagram shows of a trace."""
    parts = shown_parts(traced)
    accesses = [one for one in traced.recorder.accesses if one.call.part in parts and _is_shown(traced, one)]
    used = {one.variable for one in accesses if not one.writes} | {*traced.stored}
    if traced.stored:
        used.add("env/done")
    phases: list[Phase] = []
    memory, burnt = memory_of(traced.recorder.accesses), set[str]()
    for part in parts:
        for group in _by_workspace([one for one in accesses if one.call.part == part]):
            # What runs over windows does so over the frames of the burn-in first.
            names = _runs_over(group)
            burns_in = bool(traced.burn_in and names) and names not in burnt
            burnt.add(names)
            if burns_in:
                group = [one for one in group if not one.call.is_function]
            phase = Phase(_title(traced, part, group, burns_in))
            for call, own in groupby(group, key=lambda one: one.call):
                _add_step(phase, traced, call, list(own), used, memory)
            phase.loops = _loops(phase, memory)
            if part == "collecting" and traced.stored:
                _add_storing(phase, traced)
            phase.values = dict(sorted(phase.values.items(), key=lambda one: _order(one[0][1])))
            phases.append(phase)
    return phases


def _is_shown(traced: Trace, access: Access) -> bool:
    call = access.call
    in_update = call.part.startswith("update")
    if call.is_function and call.name in MOVING:
        # What a burn-in leaves to the frames after it, and nothing else.
        return access.writes and access.variable.endswith(BEFORE)
    if call.is_function:
        own = [one for one in traced.recorder.accesses if one.call is call]
        read = {one.variable for one in own if not one.writes}
        moved = {one.variable for one in own if one.writes and one.step is None} & read
        # Whole variables that are put in place again say nothing.
        if access.variable in moved and (access.step is None or not access.writes):
            return False
        return access.writes or not (_only_measures(traced, call) or call.name.endswith(".transitions"))
    steps = {one.call.t for one in traced.recorder.accesses if one.call.environment and one.call.part == call.part}
    # One step of the policy and the environment's answer tell it all, unless an agent looks back.
    first = min((one or 0 for one in steps), default=0)
    return in_update or call.environment or len(steps) < 2 or call.t == first or _looks_back(traced, call)


def _only_measures(traced: Trace, call: Call) -> bool:
    """Return whether an update reads, for its metrics, what losses read and nothing else."""
    name = call.name.rpartition(".")[2]
    if not name.startswith("update") and name != traced.name.rpartition(".")[2]:
        return False
    reads: dict[bool, set[Value]] = {True: set(), False: set()}
    for one in traced.recorder.accesses:
        if one.call.is_function and one.call.part == call.part and not one.writes and not one.call.prepares:
            reads[one.call.name == call.name].add((one.variable, one.step))
    return reads[True] <= reads[False]


def _order(step: int | None) -> tuple[bool, int]:
    return step is None, step or 0


def _looks_back(traced: Trace, call: Call) -> bool:
    """Return whether an agent that runs at the step of `call` reads what was written at one before."""
    for one in traced.recorder.accesses:
        alike = one.call.part == call.part and one.call.t == call.t and not one.call.environment and not one.writes
        if alike and call.t is not None and one.step is not None and one.step < call.t:
            return True
    return False


def _by_workspace(accesses: Sequence[Access]) -> list[list[Access]]:
    """Split accesses by workspace; what functions prepare goes with what follows."""
    groups: list[list[Access]] = []
    for _, own in groupby(accesses, key=lambda one: one.workspace):
        group = list(own)
        if groups and all(one.call.is_function for one in groups[-1]):
            groups[-1] += group
        else:
            groups.append(group)
    merged: list[list[Access]] = []
    for group in groups:
        same = next((one for one in merged if one[-1].workspace == group[0].workspace), None)
        if same is None:
            merged.append(group)
        else:
            same += group
    return merged


def _title(traced: Trace, part: str, group: Sequence[Access], burns_in: bool) -> str:
    if part == "running":
        return "Agents in the order in which they run"
    if part == "collecting":
        return "Collecting: the environment and the policy, step by step"
    if part == "preparing":
        functions = dict.fromkeys(_label(one.call) for one in group)
        return f"Once for each {traced.kept_in}: {', '.join(functions)}"
    names = _runs_over(group)
    if names:
        n_frames = max((one.shape[0] for one in group if one.step is None and not one.call.is_function), default=0)
        if burns_in:
            return f"Update, burn-in: {names}, over the first {n_frames} frames of windows, without gradients"
        return f"Update: {names}, over {n_frames} frames of windows"
    reads = [one for one in group if one.call.is_function and not one.writes and not one.call.prepares]
    losses = dict.fromkeys(one.call.name for one in reads)
    trainings = [one for one in traced.trainings if not losses.keys().isdisjoint(one.losses)]
    trained = dict.fromkeys(name for one in trainings if one.part == part for name in one.trains)
    # Flags belong to what is not done at every update.
    always = {one.part for one in trainings} >= {one for one in traced.parts if one.startswith("update")}
    flags = "" if always else part.removeprefix("update")
    which = ", ".join(losses) or "the agents"
    trains = f" {'train' if len(losses) > 1 else 'trains'} {' and '.join(trained)}" if losses and trained else ""
    return f"Update{flags}: {which}{trains}, on {traced.batch_kind}"


def _runs_over(group: Sequence[Access]) -> str:
    """Return the names of agents that run over windows, where a group does nothing else."""
    if any(one.call.t is not None or (one.call.is_function and one.call.name not in MOVING) for one in group):
        return ""
    if not any(one.call.part.startswith("update") for one in group):
        return ""
    return " and ".join(dict.fromkeys(one.call.name for one in group if not one.call.is_function))


def _add_step(
    phase: Phase,
    traced: Trace,
    call: Call,
    accesses: Sequence[Access],
    used: set[str],
    memory: Collection[tuple[str, str]],
) -> None:
    marks: list[Mark] = []
    unread: dict[int | None, int] = {}
    for access in accesses:
        step = access.step
        if access.writes and access.variable not in used and call.environment:
            unread[step] = unread.get(step, 0) + 1
            continue
        # What a state was before the first step stands at the step before that.
        begins = access.variable.endswith(BEFORE) and not step
        value = (access.variable, -1 if begins else step)
        phase.values.setdefault(value, f"[{access.layout[4:]}" if begins and step is None else access.layout)
        kind = _kind(traced, access)
        left = any(one.value == value and one.writes for each in phase.steps for one in each.marks)
        remembered = begins and (access.writes or left)
        remembered = remembered or (kind == "fresh" and (call.name, access.variable) in memory)
        mark = Mark(value, access.writes, "memory" if remembered else kind)
        if mark not in marks:
            marks.append(mark)
    for step, count in unread.items():
        value = (f"{count} more, read by nobody", step)
        phase.values.setdefault(value, "")
        marks.append(Mark(value, True, "environment"))
    before = phase.steps[-1] if phase.steps else None
    t = "" if call.t is None else f"at {step_name(call.t)}"
    label = _label(call)
    if before is not None and before.label == label and before.detail == t and not call.environment:
        before.marks += [one for one in marks if one not in before.marks]
    else:
        phase.steps.append(Step(label, t, marks, call.is_function, agent=call.name))


def _loops(phase: Phase, memory: Collection[tuple[str, str]]) -> list[Loop]:
    """Return the loops through time among the rows of a phase."""
    loops: list[Loop] = []
    for second, step in enumerate(phase.steps):
        own = [mark for mark in step.marks if (step.agent, mark.value[0]) in memory]
        whole = tuple(mark.value[0] for mark in own if mark.writes and mark.value[1] is None)
        if whole:
            loops.append(Loop(second, second, step.label, whole))
        read = {mark.value for mark in own if not mark.writes}
        for first in range(second - 1, -1, -1):
            before = phase.steps[first]
            given = [mark.value for mark in before.marks if mark.writes and mark.value in read]
            if before.agent == step.agent and given:
                loops.append(Loop(first, second, step.label, tuple(name for name, _ in given)))
                break
    return loops


def _label(call: Call) -> str:
    # What is done to rollouts and batches are methods that algorithms share.
    if call.name == "run_over":
        return "burn-in"
    return call.name.rpartition(".")[2] if call.part == "preparing" or call.prepares else call.name


def _kind(traced: Trace, access: Access) -> str:
    if access.writes:
        return "environment" if access.call.environment else "fresh"
    source = access.source
    if source is None:
        return GIVEN if access.step is not None else "mixed"
    if source.fresh:
        environments = {one.name for one in traced.recorder.calls if one.environment}
        return "environment" if source.name in environments else "fresh"
    return source.kind


def _add_storing(phase: Phase, traced: Trace) -> None:
    kinds = {mark.value: mark.kind for step in phase.steps for mark in step.marks if mark.writes}
    marks = [Mark((name, 0), False, kinds[name, 0]) for name in [*traced.stored, "env/done"] if (name, 0) in kinds]
    phase.steps.append(Step(traced.kept_in, "keeps the frame at t", marks, True, "stores"))


def loops_in_words(phase: Phase) -> list[str]:
    """Return one sentence for each agent that remembers."""
    agents: dict[str, dict[str, None]] = {}
    for loop in phase.loops:
        agents.setdefault(loop.agent, {}).update(dict.fromkeys(loop.variables))
    return [f"{agent} remembers {' and '.join(names)} from each step to the next" for agent, names in agents.items()]
