"""Tensors of workspaces that are changed in place after somebody has read or written them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workspace_rl.inspection.recording.accesses import Call


@dataclass(frozen=True)
class Change:
    """A tensor of a workspace that was changed in place."""

    #: Who changed it, for messages.
    by: str
    variable: str
    step: int | None
    #: Whether it was written just before, not read.
    written: bool


@dataclass(eq=False)
class _Held:
    """A tensor that somebody has read or written, as it was then."""

    value: Tensor
    version: int
    call: Call
    written: bool


class ChangeWatch:
    """Holds tensors as they are read and written, and sees which of them have changed since."""

    def __init__(self) -> None:
        """Hold nothing."""
        self.found: list[Change] = []
        #: By variable, its name and the step.
        self._held: dict[tuple[Any, ...], _Held] = {}

    def hold(self, key: tuple[Any, ...], value: Tensor, call: Call, written: bool) -> None:
        """Hold what `call` has just read or written."""
        if isinstance(value, torch.nn.Parameter):
            return
        with torch._C.DisableTorchFunction():
            version = _version(value)
        known = self._held.get(key)
        if written or known is None or known.value is not value:
            self._held[key] = _Held(value, version, call, written)
        else:
            known.call, known.written = call, False

    def look(self, by: Call | None) -> None:
        """Note the tensors that have changed since they were read or written; `by` is who runs now."""
        with torch._C.DisableTorchFunction():
            changed = [(key, one) for key, one in self._held.items() if _version(one.value) != one.version]
        if not changed:
            return
        # Views share a version: those count that were touched last.
        recent = [(key, one) for key, one in changed if one.call is by] or changed[:1]
        self.found += [Change(str(by or one.call), key[1], key[2], one.written) for key, one in recent]
        for _, one in changed:
            one.version = _version(one.value)

    def forget(self) -> None:
        """Hold nothing any more."""
        self._held.clear()


def _version(value: Tensor) -> int:
    return 0 if value.is_inference() else value._version
