"""A collector in a process that is its own: what hangs is ended."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Self

import torch

from workspace_rl.collectors.order import Delivery, Order
from workspace_rl.collectors.recipe import CollectorRecipe
from workspace_rl.collectors.worker import CollectorWorker
from workspace_rl.errors import EnvironmentTimeoutError

#: The exit code of a process that has ended itself because its environments hang.
HANGS = 75
#: Seconds that environments get to end what they do by the exception that they are interrupted with.
GRACE = 5.0
#: The niceness of the process, unless it has a greater one, as Ray's have: where processors are scarce, a learner that
#: waits for one makes all of its collectors wait.
NICENESS = 10
#: Interrupts environments; what a simulator is likely to use itself is left to it.
_SIGNAL = signal.SIGUSR2


class HostedCollector:
    """What lives in the process: called from its main thread, with one order after the other."""

    def __init__(self, recipe: CollectorRecipe) -> None:
        """Nothing is built yet."""
        if hasattr(os, "setpriority"):  # not on Windows
            os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
        torch.set_num_threads(recipe.threads)
        self._worker = CollectorWorker(recipe)
        timeout = recipe.env_config.timeout
        self._watch = None if timeout is None else ProgressWatch(timeout, self._worker.progress, recipe.number)

    def collect(self, order: Order) -> Delivery:
        """Collect what is ordered.

        Raises:
            EnvironmentTimeoutError: an environment took longer than `gym_env.timeout` for a step or a reset, or to be
                made. If it cannot even be interrupted, the process ends with the exit code `HANGS`.
            WorkspaceRLError: what else `CollectorWorker` raises.
        """
        if self._watch is None:
            return self._worker.collect(order)
        with self._watch:
            return self._worker.collect(order)

    def close(self) -> None:
        """Close the environments."""
        self._worker.close()


class ProgressWatch:
    """Within `with watch:`, interrupts the main thread once `progress` has returned the same for too long.

    A thread looks now and then; what is watched does nothing for it, so it costs its steps nothing.
    """

    def __init__(self, timeout: float, progress: Callable[[], object], number: int) -> None:
        """Watch `progress`, which is called from another thread, of collector `number`; `timeout` is in seconds."""
        self._timeout, self._progress, self._number = timeout, progress, number
        self._is_on = self._has_tripped = False
        self._round = 0
        signal.signal(_SIGNAL, self._interrupt)
        threading.Thread(target=self._look, name="progress of environments", daemon=True).start()

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._round += 1
        self._has_tripped, self._is_on = False, True
        return self

    def __exit__(self, *exception: object) -> None:
        """Watch no longer."""
        self._is_on = False

    def _look(self) -> None:
        interval = min(self._timeout / 8, 1.0)
        before: object = None
        since = time.monotonic()
        while True:
            time.sleep(interval)
            now = (self._round, self._progress()) if self._is_on else None
            if now is None or now != before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > self._timeout:
                self._end(before)
                before = None

    def _end(self, stuck: object) -> None:
        """Interrupt what hangs; end the process if that does not help."""
        self._has_tripped = True
        signal.pthread_kill(threading.main_thread().ident or 0, _SIGNAL)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline:
            time.sleep(0.05)
            if not self._is_on or (self._round, self._progress()) != stuck:
                return
        frame = sys._current_frames().get(threading.main_thread().ident or 0)
        place = "".join(traceback.format_stack(frame))
        print(f"collector {self._number} (process {os.getpid()}): {self._text()} It hangs here:\n{place}",
              file=sys.stderr, flush=True)  # fmt: skip
        os._exit(HANGS)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._is_on and self._has_tripped:
            self._has_tripped = False
            raise EnvironmentTimeoutError(self._text())

    def _text(self) -> str:
        return (
            f"it took longer than {self._timeout:g} seconds (gym_env.timeout) for a step or a reset, or to be made. "
            "A larger gym_env.timeout, or null, gives it more time."
        )
