"""Parties, and what flows between them."""

from __future__ import annotations

from dataclasses import dataclass

from workspace_rl.messages.text_table import aligned

TITLE = "Who sends what to whom"


@dataclass(frozen=True)
class Party:
    """Somebody who sends or receives."""

    name: str
    #: What there is to say of it, a few words in a line.
    details: tuple[str, ...] = ()
    #: How many there are that do the same.
    count: int = 1


@dataclass(frozen=True)
class Flow:
    """What one party sends another."""

    sender: str
    receiver: str
    what: str
    #: When it is sent, and how much it is.
    often: str
    size: str


@dataclass(frozen=True)
class Topology:
    """Parties from left to right, as what is collected goes, and what flows between them."""

    parties: tuple[Party, ...]
    flows: tuple[Flow, ...]

    def __str__(self) -> str:
        """Return it as text."""
        rows = [(one.name, "; ".join(one.details)) for one in self.parties]
        flows = [(one.sender, "->", one.receiver, one.what, one.often, one.size) for one in self.flows]
        lines = [*aligned(rows), "", *aligned(flows)]
        return "\n".join([TITLE, *(f"  {line}".rstrip() for line in lines)])


def written_bytes(n: float) -> str:
    """Return so many bytes in words: "51 kB"."""
    for unit in ("bytes", "kB", "MB"):
        if n < 999.5:
            return f"{n:.0f} {unit}" if n >= 9.95 or unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} GB"
