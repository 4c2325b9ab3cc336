"""A workspace as a table: text in a terminal, HTML in a notebook."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from workspace_rl.messages.text_table import aligned

COLUMNS = ("variable", "shape", "dtype", "device", "memory", "written by", "first values")
#: So many steps are shown of the first batch element.
PREVIEWED = 4


class Shown(Protocol):
    """What the table asks of a variable."""

    writer: str

    @property
    def shape(self) -> torch.Size:
        """That of one step."""

    @property
    def dtype(self) -> torch.dtype:
        """Of its numbers."""

    @property
    def device(self) -> torch.device:
        """Where it is."""

    def time_size(self) -> int:
        """Return how many steps it has."""

    def peek(self, t: int) -> Tensor | None:
        """Return a step, None if nobody has written it."""


def as_text(variables: Mapping[str, Shown]) -> str:
    """Return the table as lines of text."""
    if not variables:
        return "Workspace (empty)"
    return "\n  ".join(["Workspace", *aligned([COLUMNS, *_rows(variables)])])


def as_html(variables: Mapping[str, Shown]) -> str:
    """Return the table as HTML."""
    head = "".join(f"<th style='text-align:left'>{cell}</th>" for cell in COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in _rows(variables)
    )
    return f"<table><caption>Workspace</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _rows(variables: Mapping[str, Shown]) -> list[tuple[str, ...]]:
    return [
        (
            name,
            str([variable.time_size(), *variable.shape]),
            str(variable.dtype).removeprefix("torch."),
            str(variable.device),
            readable_bytes(variable.time_size() * variable.shape.numel() * variable.dtype.itemsize),
            variable.writer,
            preview(variable),
        )
        for name, variable in variables.items()
    ]


def preview(variable: Shown) -> str:
    """Return the first number of the first batch element at the first steps; "-" where nobody wrote a step."""
    if variable.device.type == "meta" or 0 in variable.shape:
        return ""
    shown = [_first_number(variable, t) for t in range(min(PREVIEWED, variable.time_size()))]
    return " ".join([*shown, *(["…"] if variable.time_size() > PREVIEWED else [])])


def _first_number(variable: Shown, t: int) -> str:
    step = variable.peek(t)
    if step is None:
        return "-"
    number = step.detach().flatten()[0].item()
    return f"{number:.3g}" if isinstance(number, float) else str(number)


def readable_bytes(number: int) -> str:
    """Return "12 kB"."""
    size = float(number)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
