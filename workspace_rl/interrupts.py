"""Stopping a long computation between two of its steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class StopRequest:
    """Within `with StopRequest() as stop:`, ctrl-C sets `stop.requested`; a second ctrl-C interrupts at once.

    So does SIGTERM, by which schedulers of clusters and `kill` ask a process to end.
    """

    _signals = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        """Nothing is requested yet."""
        self.requested = False
        self._previous: list[Any] = []

    def __enter__(self) -> Self:
        """Listen for ctrl-C (only the main thread can)."""
        if threading.current_thread() is threading.main_thread():
            self._previous = [signal.signal(one, self._note) for one in self._signals]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give ctrl-C its former meaning back."""
        for one, previous in zip(self._signals, self._previous, strict=False):
            signal.signal(one, previous)

    def _note(self, signal_number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
