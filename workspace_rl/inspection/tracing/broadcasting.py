"""Watching for `[B]` that meets `[B, 1]`: each value of a batch is then combined with all others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from workspace_rl.inspection.recording.accesses import Call
from workspace_rl.inspection.recording.callers import program_frame


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
            ends = {tuple(one.shape[-2:]) for one in args if isinstance(one, Tensor)}
            # `[B]`, or `[T, B]` of a rollout.
            rows = any(one[-1:] == (size,) and one != (size, size) for one in ends)
            meet = rows and (size, 1) in ends and (size, size) not in ends
            # Losses such as `mse_loss` return a scalar of what they have broadcast.
            if meet and (tuple(result.shape[-2:]) == (size, size) or "loss" in getattr(function, "__name__", "")):
                self._note(getattr(function, "__name__", str(function)).strip("_"))
        return result

    def _note(self, operation: str) -> None:
        frame = program_frame(2)
        if frame is not None and self.here is not None:
            self.found.append(Broadcast(self.here(frame), operation, frame.f_lineno))
