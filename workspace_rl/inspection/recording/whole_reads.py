"""Whole variables that were read, and which steps of them are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from workspace_rl.inspection.recording.accesses import Access, Source


@dataclass(eq=False)
class _WholeRead:
    """A whole variable that was read, and what became of it."""

    value: Tensor
    access: Access
    sources: dict[int, Source]
    #: The single steps that were used; None as long as nothing was.
    steps: set[int] | None = None
    as_a_whole: bool = False


class WholeReads:
    """Replaces reads of whole variables by those of the single steps that are used of them."""

    def __init__(self, accesses: list[Access]) -> None:
        """Begin without any; `accesses` is what changes."""
        self._accesses = accesses
        self._reads: list[_WholeRead] = []

    def add(self, value: Tensor, access: Access, sources: dict[int, Source]) -> bool:
        """Note that a whole variable is read, and return whether its call reads it for the first time."""
        if any(one.value is value and one.access.call is access.call for one in self._reads):
            return False
        self._reads.append(_WholeRead(value, access, sources))
        return True

    def use(self, value: Tensor, steps: Sequence[int] | None) -> None:
        """Note that these steps of a tensor are used, None for all, if it is a whole variable that was read."""
        read = next((one for one in reversed(self._reads) if one.value is value), None)
        if read is None:
            return
        read.as_a_whole |= steps is None
        read.steps = read.steps or set()
        for step in set(steps or ()) - read.steps:
            whole = read.access
            single = replace(whole, step=step, shape=whole.shape[1:], source=read.sources.get(step))
            self._accesses.insert(self._accesses.index(whole), single)
        read.steps.update(steps or ())

    def settle(self) -> None:
        """Drop the reads of whole variables of which single steps, or shapes alone, were used."""
        dropped = {id(one.access) for one in self._reads if one.steps is not None and not one.as_a_whole}
        self._accesses[:] = [one for one in self._accesses if id(one) not in dropped]
