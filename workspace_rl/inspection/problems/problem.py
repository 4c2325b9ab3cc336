"""What is wrong with a composition: one problem, and the list of them that users get."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a composition."""

    #: A word or two: "never written", "shape", "stale", ...
    kind: str
    #: What, where, and the way out.
    message: str
    #: Whether the program would fail. Others run, and do something else than what is probably meant.
    fatal: bool

    def __str__(self) -> str:
        """Return the message."""
        return f"{'error' if self.fatal else 'warning'} ({self.kind}): {self.message}"


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
