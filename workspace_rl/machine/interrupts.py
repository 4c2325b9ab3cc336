"""Stopping a long computation between two of its steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, ClassVar, Self


class Stopped(KeyboardInterrupt):
    """Raised between two steps once ctrl-C or SIGTERM has asked for the end."""


class StopRequest:
    """Within `with StopRequest() as stop:`, ctrl-C sets `stop.requested`; a second ctrl-C interrupts at once.

    So does SIGTERM, by which schedulers of clusters and `kill` ask a process to end. Environments call
    `stop_if_requested` before each of their steps, so that whatever runs them, collecting, scoring, filming, ends by a
    `Stopped`.
    """

    _signals = (signal.SIGINT, signal.SIGTERM)
    _innermost: ClassVar[StopRequest | None] = None

    def __init__(self) -> None:
        """Nothing is requested yet."""
        #: Whether to stop; and whether a signal was heard, which may have to wait until others stop, too.
        self.requested = self.heard = False
        #: Whether what is heard takes effect at once; and whether all that learn together stop at the same place.
        self.at_once, self.shared = True, False
        self._previous: list[Any] = []
        self._outer: StopRequest | None = None

    def __enter__(self) -> Self:
        """Listen for ctrl-C (only the main thread can)."""
        if threading.current_thread() is threading.main_thread():
            self._previous = [signal.signal(one, self._note) for one in self._signals]
            self._outer, StopRequest._innermost = StopRequest._innermost, self
            if self._outer is not None:
                self.heard, self.requested = self._outer.heard, self._outer.requested
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give ctrl-C its former meaning back."""
        if not self._previous:
            return
        for one, previous in zip(self._signals, self._previous, strict=True):
            signal.signal(one, previous)
        StopRequest._innermost = self._outer
        if self._outer is not None:
            self._outer.heard |= self.heard
            self._outer.requested |= self.requested and self._outer.at_once

    def _note(self, signal_number: int, frame: FrameType | None) -> None:
        if self.heard:
            raise KeyboardInterrupt
        self.heard = True
        self.requested |= self.at_once


def stop_if_requested() -> None:
    """Raise `Stopped` if the `StopRequest` that is listening, if any, has heard something."""
    stop = StopRequest._innermost
    # Signals are for the main thread; what others compute is not theirs to end.
    if stop is not None and stop.requested and threading.current_thread() is threading.main_thread():
        raise Stopped
