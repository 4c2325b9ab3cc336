"""How a diagram is drawn: phases one below the other, a row for each call, a column for each value."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from textwrap import wrap

from workspace_rl.drawing.svg import Circle, Drawing, Line, Rectangle, Text, text_width
from workspace_rl.inspection.diagrams.phases import Mark, Phase, Step, Value, loops_in_words
from workspace_rl.inspection.recording.accesses import GIVEN, REPLAYED
from workspace_rl.inspection.topology.picture import draw_topology
from workspace_rl.inspection.topology.topology import Topology
from workspace_rl.inspection.wording import step_name

EXPLANATION = "rows: what runs, in order; columns: variables at a step"
COLOURS = {
    REPLAYED: "#1f6feb",
    "fresh": "#1a7f37",
    "environment": "#bc4c00",
    GIVEN: "#6e4fb3",
    "memory": "#bf3989",
    "mixed": "#57606a",
}
FAINT, PALE, WARNING = "#6e7781", "#d0d7de", "#a40e26"
#: Lengths in pixels. A column's line stands `INDENT` from its left side, and its texts to the right of it.
BOX, ROW, HEADER, MARGIN, GAP, INDENT = 176, 38, 54, 20, 14, 16
#: Room for arrows beside the boxes.
LOOP = 22


def draw(name: str, phases: Sequence[Phase], notes: Sequence[str] = (), topology: Topology | None = None) -> Drawing:
    """Lay the topology and the phases out one below the other, and the notes below them."""
    drawing = Drawing()
    widths = {id(phase): _column_width(phase) for phase in phases}
    drawing.width = max(
        [0.0]
        + [2 * MARGIN + BOX + 26 + LOOP * bool(one.loops) + len(one.values) * widths[id(one)] for one in phases]
        + [3 * MARGIN + text_width(one.title, 12.5, True) + text_width(_remembered(one), 11) for one in phases]
    )
    _draw_head(drawing, name, phases)
    y = 44.0 if topology is None else draw_topology(drawing, topology, 44.0) + GAP
    for phase in phases:
        y = _draw_phase(drawing, phase, y, widths[id(phase)]) + GAP
    for line in (line for note in notes for line in wrap(note, int((drawing.width - 2 * MARGIN) / text_width("x")))):
        drawing.add(Text(MARGIN, y + 6, line, 11, WARNING))
        y += 18
    drawing.height = y
    return drawing


def _remembered(phase: Phase) -> str:
    return "; ".join(loops_in_words(phase))


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
        "memory": "memory: goes on at the next step",
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
    first_box = MARGIN + (LOOP if phase.loops else 0)
    left = first_box + BOX + 20
    first_row = top + 44 + HEADER
    bottom = first_row + ROW * len(phase.steps)
    drawing.add(
        Rectangle(MARGIN - 8, top, drawing.width - 2 * MARGIN + 16, bottom - top + 4, "#f6f8fa", PALE, 8),
        Text(MARGIN + 4, top + 19, phase.title, 12.5, bold=True),
        Text(2 * MARGIN + text_width(phase.title, 12.5, True), top + 19, _remembered(phase), 11, COLOURS["memory"]),
    )
    columns = {value: left + width * index + INDENT for index, value in enumerate(phase.values)}
    rows = [first_row + ROW * (index + 0.5) for index in range(len(phase.steps))]
    _draw_times(drawing, columns, top + 26, bottom, width)
    _draw_rails(drawing, phase, columns, rows, first_row)
    for step, y in zip(phase.steps, rows, strict=True):
        _draw_step(drawing, step, columns, first_box, y)
    agents = list(dict.fromkeys(loop.agent for loop in phase.loops))
    for loop in phase.loops:
        _draw_loop(drawing, first_box, rows[loop.first], rows[loop.second], agents.index(loop.agent) % 3)
    return bottom + 4


def _draw_loop(drawing: Drawing, left: float, start: float, end: float, lane: int) -> None:
    """Draw an arrow from a box to one below it, or from one to itself, along their left sides."""
    colour, x = COLOURS["memory"], left - 8 - 5 * lane
    start, end = (start + 6, end - 6) if end > start else (start + 8, end - 8)
    drawing.add(Line(left, start, x, start, colour, 2), Line(x, start, x, end, colour, 2))
    drawing.add(Line(x, end, left - 1, end, colour, 2))
    for side in (-4, 4):
        drawing.add(Line(left - 1, end, left - 7, end + side, colour, 2))


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


def _draw_step(drawing: Drawing, step: Step, columns: dict[Value, float], left: float, y: float) -> None:
    end = max((columns[mark.value] for mark in step.marks), default=0)
    if end:
        drawing.add(Line(left + BOX, y, end, y, FAINT, 1))
    fill = "#fff8c5" if step.is_function else "#ddf4ff"
    drawing.add(Rectangle(left, y - ROW / 2 + 3, BOX, ROW - 6, fill, FAINT, 16 if step.is_function else 5))
    label = step.label if len(step.label) <= 21 else step.label[:20] + "…"
    if step.detail:
        drawing.add(Text(left + BOX / 2, y - 1, label, 12, bold=True, anchor="middle"))
        drawing.add(Text(left + BOX / 2, y + 12, step.detail, 10, FAINT, anchor="middle"))
    else:
        drawing.add(Text(left + BOX / 2, y + 4, label, 12, bold=True, anchor="middle"))
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
    return {REPLAYED: "replayed", "fresh": "fresh", "memory": "memory"}.get(kind, "")
