"""What agents read and write, as a table."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from workspace_rl.inspection.recording.accesses import Access
from workspace_rl.inspection.recording.loops import memory_of
from workspace_rl.inspection.tracing.inputs import Inputs
from workspace_rl.inspection.tracing.tracer import trace
from workspace_rl.inspection.wording import notes_of, shown_parts, step_name
from workspace_rl.messages.text_table import aligned

COLUMNS = ("agent", "", "variable", "at", "shape", "dtype", "where from")


@dataclass(frozen=True)
class Row:
    """One variable that an agent reads or writes."""

    part: str
    agent: str
    #: "reads" or "writes".
    does: str
    variable: str
    #: The step: "t" is that of the agent's call, in an update the first of the batch; "all" for the whole variable.
    at: str
    #: `[B, ...]`, or `[T, B, ...]` for a whole variable.
    shape: str
    dtype: str
    #: For values that are read.
    source: str

    def cells(self) -> tuple[str, ...]:
        """Return the row's texts, in the order of `COLUMNS`."""
        return (self.agent, self.does, self.variable, self.at, self.shape, self.dtype, self.source)


class Description:
    """The table of what a composition's agents read and write: text in a terminal, HTML in a notebook."""

    def __init__(self, name: str, rows: Sequence[Row], notes: Sequence[str]) -> None:
        """Describe what is called `name`; `notes` say what could not be traced."""
        self.name, self.rows, self.notes = name, list(rows), list(notes)

    def _parts(self) -> dict[str, list[Row]]:
        return {
            part: [row for row in self.rows if row.part == part] for part in dict.fromkeys(r.part for r in self.rows)
        }

    def __str__(self) -> str:
        """Return the table as text."""
        cells: list[tuple[str, ...]] = [COLUMNS]
        before = ("", "")
        for row in self.rows:
            agent = (row.part, row.agent)
            cells.append(row.cells() if agent != before else ("", *row.cells()[1:]))
            before = agent
        head, *rows = (f"  {line}" for line in aligned(cells))
        lines = [self.name]
        for part, own in groupby(zip(self.rows, rows, strict=True), key=lambda one: one[0].part):
            lines += ["", part, head, *(line for _, line in own)]
        return "\n".join([*lines, *([""] if self.notes else []), *self.notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        style = "text-align:left"
        head = "".join(f"<th style='{style}'>{text}</th>" for text in COLUMNS)
        body = ""
        for part, rows in self._parts().items():
            body += f"<tr><th colspan='{len(COLUMNS)}' style='{style}'>{html.escape(part)}</th></tr>"
            for row in rows:
                cells = "".join(f"<td style='{style}'>{html.escape(text)}</td>" for text in row.cells())
                body += f"<tr>{cells}</tr>"
        notes = "".join(f"<p>{html.escape(one)}</p>" for one in self.notes)
        caption = html.escape(self.name)
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"


def describe(target: Any, inputs: Inputs = None, **kwargs: Any) -> Description:
    """Return a table of what an agent, an algorithm, or a function of a batch reads and writes.

    Nothing is computed, and no environment is stepped: see `check`, whose arguments these are. Agents need not declare
    anything; one that cannot be traced is named below the table.

    Raises:
        CompositionError: `target` or `inputs` are nothing that can be traced.
    """
    traced = trace(target, inputs, **kwargs)
    shown = shown_parts(traced)
    accesses = [one for one in traced.recorder.accesses if one.call.part in shown]
    # Steps that are alike are one row; an update may do the same on several workspaces, which are several.
    memory = memory_of(traced.recorder.accesses)
    rows = list({(one.workspace, _row(one, memory)): _row(one, memory) for one in accesses}.values())
    return Description(traced.name, rows, notes_of(traced))


def _row(access: Access, memory: Collection[tuple[str, str]]) -> Row:
    shape, _, dtype = access.layout.rpartition(" ")
    source = "" if access.writes or access.source is None else str(access.source)
    fresh = access.source is not None and access.source.fresh and not access.writes
    if fresh and (access.call.name, access.variable) in memory:
        source = "its own memory"
    return Row(
        access.call.part,
        access.call.name,
        "writes" if access.writes else "reads",
        access.variable,
        _at(access),
        shape,
        dtype,
        source,
    )


def _at(access: Access) -> str:
    if access.step is None:
        return "all"
    in_update = access.call.part.startswith("update")
    return step_name(access.step - (0 if in_update or access.call.t is None else access.call.t))
