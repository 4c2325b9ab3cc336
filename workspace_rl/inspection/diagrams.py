"""A composition as a picture: agents in the order in which they run, and the values that go between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Any

from workspace_rl.drawing.svg import Circle, Drawing, Line, Rectangle, Text, text_width
from workspace_rl.errors import RenderingError
from workspace_rl.inspection.problems import layout, prepares
from workspace_rl.inspection.tables import notes_of, shown_parts, step_name
from workspace_rl.inspection.tracing.recording import GIVEN, REPLAYED, Access, Call
from workspace_rl.inspection.tracing.tracing import Inputs, Trace, trace
from workspace_rl.machine.files import absolute, write_text
from workspace_rl.messages.text_table import aligned

#: Columns: one value, a variable at a step, None for all of its steps.
Value = tuple[str, int | None]

EXPLANATION = "rows: what runs, in order; columns: variables at a step"
COLOURS = {
    REPLAYED: "#1f6feb",
    "fresh": "#1a7f37",
    "environment": "#bc4c00",
    GIVEN: "#6e4fb3",
    "mixed": "#57606a",
}
FAINT, PALE, WARNING = "#6e7781", "#d0d7de", "#a40e26"
#: Lengths in pixels. A column's line stands `INDENT` from its left side, and its texts to the right of it.
BOX, ROW, HEADER, MARGIN, GAP, INDENT = 176, 38, 54, 20, 14, 16


@dataclass(frozen=True)
class Mark:
    """Where an agent touches a value."""

    value: Value
    writes: bool
    #: Of the value: one of `COLOURS`.
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


@dataclass
class Phase:
    """Rows that work on the same workspace."""

    title: str
    steps: list[Step] = field(default_factory=list)
    #: The values in the order of their columns, with shape and dtype.
    values: dict[Value, str] = field(default_factory=dict)


class Diagram:
    """The picture: SVG in a notebook, text in a terminal, and a file by `save`."""

    def __init__(self, name: str, phases: Sequence[Phase], notes: Sequence[str] = ()) -> None:
        """Draw the phases of what is called `name`; `notes` say what is missing in them."""
        self.name, self.phases, self.notes = name, list(phases), list(notes)

    def __str__(self) -> str:
        """Return the diagram as text."""
        lines = [self.name]
        for phase in self.phases:
            cells = [line for step in phase.steps for line in _cells(phase, step)]
            lines += ["", phase.title, *(f"  {line}" for line in aligned(cells))]
        return "\n".join([*lines, *([""] if self.notes else []), *self.notes])

    __repr__ = __str__

    def _repr_svg_(self) -> str:
        return self.svg()

    def svg(self) -> str:
        """Return the diagram as SVG."""
        return draw(self.name, self.phases, self.notes).svg()

    def save(self, path: str | Path) -> Path:
        """Write the diagram to a file, whole or not at all, and return its path; its name ends in .svg or .png.

        Raises:
            RenderingError: the name ends otherwise.
            MissingDependencyError: matplotlib, which writes PNG, is not installed.
            RunFolderError: the file cannot be written.
        """
        path = absolute(path)
        if path.suffix not in (".svg", ".png"):
            raise RenderingError(f"a diagram is an .svg or a .png file, but {str(path)!r} was asked for.")
        if path.suffix == ".svg":
            write_text(path, self.svg())
            return path
        from workspace_rl.drawing.figures import save_figure

        return save_figure(draw(self.name, self.phases, self.notes).figure(), path)


def diagram(target: Any, inputs: Inputs = None, **kwargs: Any) -> Diagram:
    """Return a picture of which agent reads and writes which variable at which step.

    Each row is a call of an agent, or a loss, in the order in which they run; each column is a value: a variable at a
    step. A ring is a read, a disc a write; colours tell stored (replayed) values from fresh ones. The arguments are
    those of `check`; nothing is computed.

    Raises:
        CompositionError: `target` or `inputs` are nothing that can be traced.
    """
    return diagram_of(trace(target, inputs, **kwargs))


def diagram_of(traced: Trace) -> Diagram:
    """Return the picture of a trace."""
    return Diagram(traced.name, phases_of(traced), notes_of(traced))


# ---- from a trace to rows and columns -----------------------------------------------------------------------------


def phases_of(traced: Trace) -> list[Phase]:
    """Return what a diagram shows of a trace."""
    parts = shown_parts(traced)
    accesses = [one for one in traced.recorder.accesses if one.call.part in parts and _is_shown(traced, one)]
    used = {one.variable for one in accesses if not one.writes} | {*traced.stored}
    if traced.stored:
        used.add("env/done")
    phases: list[Phase] = []
    for part in parts:
        for group in _by_workspace([one for one in accesses if one.call.part == part]):
            phase = Phase(_title(traced, part, group))
            for call, own in groupby(group, key=lambda one: one.call):
                _add_step(phase, traced, call, list(own), used)
            if part == "collecting" and traced.stored:
                _add_storing(phase, traced)
            phase.values = dict(sorted(phase.values.items(), key=lambda one: _order(one[0][1])))
            phases.append(phase)
    return phases


def _is_shown(traced: Trace, access: Access) -> bool:
    call = access.call
    in_update = call.part.startswith("update")
    if call.is_function:
        own = [one for one in traced.recorder.accesses if one.call is call]
        moved = {one.variable for one in own if one.writes and one.step is None}
        # Whole variables that are put in place again say nothing.
        if access.variable in moved and (access.step is None or not access.writes):
            return False
        return access.writes or not _only_measures(traced, call)
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
        if one.call.is_function and one.call.part == call.part and not one.writes and not prepares(one.call):
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


def _title(traced: Trace, part: str, group: Sequence[Access]) -> str:
    if part == "running":
        return "Agents in the order in which they run"
    if part == "collecting":
        return "Collecting: the environment and the policy, step by step"
    reads = [one for one in group if one.call.is_function and not one.writes and not prepares(one.call)]
    losses = dict.fromkeys(one.call.name for one in reads)
    trainings = [one for one in traced.trainings if not losses.keys().isdisjoint(one.losses)]
    trained = dict.fromkeys(name for one in trainings if one.part == part for name in one.trains)
    # Flags belong to what is not done at every update.
    always = {one.part for one in trainings} >= {one for one in traced.parts if one.startswith("update")}
    flags = "" if always else part.removeprefix("update")
    which = ", ".join(losses) or "the agents"
    trains = f" {'train' if len(losses) > 1 else 'trains'} {' and '.join(trained)}" if losses and trained else ""
    return f"Update{flags}: {which}{trains}, on a replayed batch of transitions"


def _add_step(phase: Phase, traced: Trace, call: Call, accesses: Sequence[Access], used: set[str]) -> None:
    marks: list[Mark] = []
    unread: dict[int | None, int] = {}
    for access in accesses:
        step = access.step
        if access.writes and access.variable not in used and call.environment:
            unread[step] = unread.get(step, 0) + 1
            continue
        value = (access.variable, step)
        phase.values.setdefault(value, layout(access))
        mark = Mark(value, access.writes, _kind(traced, access))
        if mark not in marks:
            marks.append(mark)
    for step, count in unread.items():
        value = (f"{count} more, read by nobody", step)
        phase.values.setdefault(value, "")
        marks.append(Mark(value, True, "environment"))
    before = phase.steps[-1] if phase.steps else None
    t = "" if call.t is None else f"at {step_name(call.t)}"
    if before is not None and before.label == call.name and before.detail == t and not call.environment:
        before.marks += [one for one in marks if one not in before.marks]
    else:
        phase.steps.append(Step(call.name, t, marks, call.is_function))


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
    phase.steps.append(Step("replay buffer", "keeps the frame at t", marks, True, "stores"))


def _cells(phase: Phase, step: Step) -> list[tuple[str, ...]]:
    """Return the texts of a row, one tuple for each value: what is read comes first."""
    lines: list[tuple[str, ...]] = []
    for mark in sorted(step.marks, key=lambda one: one.writes):
        name, t = mark.value
        agent = "" if lines else f"{step.label} {step.detail}".strip()
        verb, origin = ("writes", "") if mark.writes else (step.verb, mark.kind)
        lines.append((agent, verb, name, step_name(t), phase.values[mark.value], origin))
    return lines


# ---- the picture --------------------------------------------------------------------------------------------------


def draw(name: str, phases: Sequence[Phase], notes: Sequence[str] = ()) -> Drawing:
    """Lay the phases out one below the other, and the notes below them."""
    drawing = Drawing()
    widths = {id(phase): _column_width(phase) for phase in phases}
    drawing.width = max(
        [0.0]
        + [2 * MARGIN + BOX + 26 + len(one.values) * widths[id(one)] for one in phases]
        + [2 * MARGIN + text_width(one.title, 12.5, True) for one in phases]
    )
    _draw_head(drawing, name, phases)
    y = 44.0
    for phase in phases:
        y = _draw_phase(drawing, phase, y, widths[id(phase)]) + GAP
    for line in (line for note in notes for line in wrap(note, int((drawing.width - 2 * MARGIN) / text_width("x")))):
        drawing.add(Text(MARGIN, y + 6, line, 11, WARNING))
        y += 18
    drawing.height = y
    return drawing


def _column_width(phase: Phase) -> float:
    names = [text for name, _ in phase.values for text in _two_lines(name)]
    widths = [text_width(name, 10.5) for name in names] + [text_width(kind, 9.5) for kind in phase.values.values()]
    return max([102.0, *(width + 8 for width in widths)])


def _two_lines(name: str) -> list[str]:
    """Split a long name where it has a separator."""
    if len(name) <= 15:
        return ["", name]
    places = [index + 1 for index, letter in enumerate(name[:-1]) if letter in "/_, "]
    if not places:
        return ["", name]
    middle = min(places, key=lambda place: abs(place - len(name) / 2))
    return [name[:middle].strip(), name[middle:].strip()]


def _legend(phases: Sequence[Phase]) -> list[tuple[str, str]]:
    """Return the kinds of values that occur, with what they are called."""
    kinds = {mark.kind for phase in phases for step in phase.steps for mark in step.marks}
    words = {
        REPLAYED: "replayed: stored earlier",
        "fresh": "fresh: computed here",
        "environment": "from the environment",
        GIVEN: "given from outside",
        "mixed": "not all steps alike",
    }
    return [(kind, word) for kind, word in words.items() if kind in kinds]


def _draw_head(drawing: Drawing, name: str, phases: Sequence[Phase]) -> None:
    """Draw the title, what rows and columns are, and the legend."""
    x = MARGIN + text_width(name, 17, True) + 14
    drawing.add(Text(MARGIN, 30, name, 17, bold=True), Text(x, 29, EXPLANATION, 11, FAINT))
    x += text_width(EXPLANATION) + 20
    for word, fill in (("reads", "#ffffff"), ("writes", FAINT)):
        drawing.add(Text(x + 12, 29, word, 11, FAINT), Circle(x, 25, 5, fill, FAINT))
        x += text_width(word) + 32
    for kind, word in _legend(phases):
        colour = COLOURS[kind]
        drawing.add(Text(x + 16, 29, word, 11, colour), Rectangle(x - 2, 20, 12, 10, colour, radius=2))
        x += text_width(word) + 36
    drawing.width = max(drawing.width, x - 20 + MARGIN)


def _draw_phase(drawing: Drawing, phase: Phase, top: float, width: float) -> float:
    left = MARGIN + BOX + 20
    first_row = top + 44 + HEADER
    bottom = first_row + ROW * len(phase.steps)
    drawing.add(
        Rectangle(MARGIN - 8, top, drawing.width - 2 * MARGIN + 16, bottom - top + 4, "#f6f8fa", PALE, 8),
        Text(MARGIN + 4, top + 19, phase.title, 12.5, bold=True),
    )
    columns = {value: left + width * index + INDENT for index, value in enumerate(phase.values)}
    rows = [first_row + ROW * (index + 0.5) for index in range(len(phase.steps))]
    _draw_times(drawing, columns, top + 26, bottom, width)
    _draw_rails(drawing, phase, columns, rows, first_row)
    for step, y in zip(phase.steps, rows, strict=True):
        _draw_step(drawing, step, columns, y)
    return bottom + 4


def _draw_times(drawing: Drawing, columns: dict[Value, float], top: float, bottom: float, width: float) -> None:
    """Draw a band for each time step."""
    for index, (t, group) in enumerate(groupby(columns.items(), key=lambda one: one[0][1])):
        xs = [x for _, x in group]
        start, stop = xs[0] - INDENT + 2, xs[-1] - INDENT + width - 2
        drawing.add(
            Rectangle(start, top, stop - start, bottom - top - 2, ("#ffffff", "#fbf7ec")[index % 2], PALE, 6),
            Text(
                (start + stop) / 2,
                top + 15,
                step_name(t) if t is None else f"time {step_name(t)}",
                11.5,
                FAINT,
                True,
                "middle",
            ),
        )


def _draw_rails(drawing: Drawing, phase: Phase, columns: dict[Value, float], rows: Sequence[float], top: float) -> None:
    """Draw each value's name, and a line from where it comes from to where it is read last."""
    for value, x in columns.items():
        touched = [
            (y, mark) for step, y in zip(phase.steps, rows, strict=True) for mark in step.marks if mark.value == value
        ]
        first = touched[0][1]
        colour = COLOURS[first.kind]
        upper, lower = _two_lines(value[0])
        drawing.add(
            Text(x - 8, top - HEADER + 19, upper, 10.5, colour),
            Text(x - 8, top - HEADER + 32, lower, 10.5, colour),
            Text(x - 8, top - HEADER + 45, phase.values[value], 9.5, FAINT),
        )
        start = touched[0][0] if first.writes else top - 4
        drawing.add(Line(x, top - 4, x, start, PALE, 1, dashed=True))
        for y, mark in touched:
            if not mark.writes:
                drawing.add(Line(x, start, x, y, COLOURS[mark.kind], 2.5))
            start = y


def _draw_step(drawing: Drawing, step: Step, columns: dict[Value, float], y: float) -> None:
    end = max((columns[mark.value] for mark in step.marks), default=0)
    if end:
        drawing.add(Line(MARGIN + BOX, y, end, y, FAINT, 1))
    fill = "#fff8c5" if step.is_function else "#ddf4ff"
    drawing.add(Rectangle(MARGIN, y - ROW / 2 + 3, BOX, ROW - 6, fill, FAINT, 16 if step.is_function else 5))
    label = step.label if len(step.label) <= 21 else step.label[:20] + "…"
    if step.detail:
        drawing.add(Text(MARGIN + BOX / 2, y - 1, label, 12, bold=True, anchor="middle"))
        drawing.add(Text(MARGIN + BOX / 2, y + 12, step.detail, 10, FAINT, anchor="middle"))
    else:
        drawing.add(Text(MARGIN + BOX / 2, y + 4, label, 12, bold=True, anchor="middle"))
    touched: dict[Value, list[Mark]] = {}
    for mark in step.marks:
        touched.setdefault(mark.value, []).append(mark)
    for value, marks in touched.items():
        x, colour = columns[value], COLOURS[marks[-1].kind]
        both = len({mark.writes for mark in marks}) > 1
        fill = colour if marks[-1].writes else "#ffffff"
        reads = f"reads {_word(marks[-1].kind)}".strip() if step.verb == "reads" else step.verb
        word = "reads, writes" if both else "writes" if marks[-1].writes else reads
        drawing.add(Circle(x, y, 5.5, fill, colour), Text(x + 9, y - 5, word, 9, colour))


def _word(kind: str) -> str:
    return {REPLAYED: "replayed", "fresh": "fresh"}.get(kind, "")
