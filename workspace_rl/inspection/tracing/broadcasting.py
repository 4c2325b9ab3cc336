"""Watching for `[B]` that meets `[B, 1]`: each value of a batch is then combined with all others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from workspace_rl.inspection.tracing.recording import Call


@dataclass(eq=False)
class Broadcast:
    """An operation on `[B]` and `[B, 1]` that gave `[B, B]`."""

    call: Call
    operation: str
    line: int


class BroadcastWatch(TorchFunctionMode):
    """Notes such operations within a `with` block."""

    def __init__(self, batch_size: int) -> None:
        """Watch for batches of `batch_size`."""
        super().__init__()
        self.batch_size = batch_size
        self.found: list[Broadcast] = []
        self.here: Callable[[FrameType], Call] | None = None

    def __torch_function__(
        self, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `function` and look at the shapes of what goes in and out."""
        result = function(*args, **(kwargs or {}))
        size = self.batch_size
        if size > 1 and isinstance(result, Tensor):
            shapes = {tuple(one.shape) for one in args if isinstance(one, Tensor)}
            meet = {(size,), (size, 1)} <= shapes
            # Losses such as `mse_loss` return a scalar of what they have broadcast.
            if meet and (tuple(result.shape) == (size, size) or "loss" in getattr(function, "__name__", "")):
                self._note(getattr(function, "__name__", str(function)).strip("_"))
        return result

    def _note(self, operation: str) -> None:
        frame = program_frame(2)
        if frame is not None and self.here is not None:
            self.found.append(Broadcast(self.here(frame), operation, frame.f_lineno))

    def failing_function(self, error: BaseException) -> str:
        """Return the name of the innermost function of the program that an error passed through."""
        name, traceback = "update", error.__traceback__
        while traceback is not None:
            frame = traceback.tb_frame
            if not _is_inside(frame.f_globals.get("__name__", "")):
                name = frame.f_code.co_qualname.rpartition("<locals>.")[2]
            traceback = traceback.tb_next
        return name


def program_frame(depth: int) -> FrameType | None:
    """Return the innermost frame of the program that is traced, as seen from `depth` callers up."""
    frame: FrameType | None = sys._getframe(depth + 1)
    while frame is not None and _is_inside(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    return frame


def _is_inside(module: str) -> bool:
    ours = tuple(
        f"workspace_rl.{one}" for one in ("inspection", "workspace", "agent", "composition", "algorithm.contract")
    )
    return module == "torch" or module.startswith(("torch.", "contextlib", *ours))
