"""One thing that is wrong with a composition."""

from __future__ import annotations

from dataclasses import dataclass


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
