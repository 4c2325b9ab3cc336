"""A composition as a picture: agents in the order in which they run, and the values that go between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workspace_rl.drawing.figures import save_figure
from workspace_rl.drawing.svg import Drawing
from workspace_rl.errors import RenderingError
from workspace_rl.inspection.diagrams.phases import Phase, Step, loops_in_words, phases_of
from workspace_rl.inspection.diagrams.picture import draw
from workspace_rl.inspection.topology.topology import Topology
from workspace_rl.inspection.tracing.inputs import Inputs
from workspace_rl.inspection.tracing.trace import Trace
from workspace_rl.inspection.tracing.tracer import trace
from workspace_rl.inspection.wording import notes_of, step_name
from workspace_rl.machine.files import absolute, write_text
from workspace_rl.messages.text_table import aligned


class Diagram:
    """The picture: SVG in a notebook, text in a terminal, and a file by `save`."""

    def __init__(
        self, name: str, phases: Sequence[Phase], notes: Sequence[str] = (), topology: Topology | None = None
    ) -> None:
        """Draw the phases of what is called `name`.

        Args:
            name: of what is drawn.
            phases: what runs.
            notes: what is missing in them.
            topology: who runs where, and sends what to whom, where these are several.
        """
        self.name, self.phases, self.notes, self.topology = name, list(phases), list(notes), topology

    def __str__(self) -> str:
        """Return the diagram as text."""
        lines = [self.name, *([] if self.topology is None else ["", str(self.topology)])]
        for phase in self.phases:
            cells = [line for step in phase.steps for line in _cells(phase, step)]
            lines += ["", phase.title, *(f"  {line}" for line in aligned(cells))]
            lines += [f"  {line}" for line in loops_in_words(phase)]
        return "\n".join([*lines, *([""] if self.notes else []), *self.notes])

    __repr__ = __str__

    def _repr_svg_(self) -> str:
        return self.svg()

    def svg(self) -> str:
        """Return the diagram as SVG."""
        return self._drawing().svg()

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
        return save_figure(self._drawing().figure(), path)

    def _drawing(self) -> Drawing:
        return draw(self.name, self.phases, self.notes, self.topology)


def diagram(target: Any, inputs: Inputs = None, **kwargs: Any) -> Diagram:
    """Return a picture of which agent reads and writes which variable at which step.

    Each row is a call of an agent, or a loss, in the order in which they run; each column is a value: a variable at a
    step. A ring is a read, a disc a write; colours tell stored (replayed) values from fresh ones. Where an algorithm's
    configuration has a section `collectors`, who sends what to whom, how often, and how much stands above. The
    arguments are those of `check`; nothing is computed.

    Raises:
        CompositionError: `target` or `inputs` are nothing that can be traced.
    """
    return diagram_of(trace(target, inputs, **kwargs))


def diagram_of(traced: Trace) -> Diagram:
    """Return the picture of a trace."""
    return Diagram(traced.name, phases_of(traced), notes_of(traced), traced.topology)


def _cells(phase: Phase, step: Step) -> list[tuple[str, ...]]:
    """Return the texts of a row, one tuple for each value: what is read comes first."""
    lines: list[tuple[str, ...]] = []
    for mark in sorted(step.marks, key=lambda one: one.writes):
        name, t = mark.value
        agent = "" if lines else f"{step.label} {step.detail}".strip()
        verb, origin = ("writes", "") if mark.writes else (step.verb, mark.kind)
        lines.append((agent, verb, name, step_name(t), phase.values[mark.value], origin))
    return lines
