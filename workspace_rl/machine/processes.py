"""Processes that end with whoever started them, and take those with them that they have started themselves."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from workspace_rl.errors import CompositionError

#: Seconds that a process gets to end by itself once the one that started it has gone.
PATIENCE = 5.0

NEEDS_GUARD = (
    "Where processes are not forked, each one imports the program once more. If it is a script, what starts processes "
    'must stand below `if __name__ == "__main__":`.'
)


def n_processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def starts_anew() -> bool:
    """Return whether processes begin by importing the program, instead of as copies of this one."""
    return multiprocessing.get_start_method() != "fork"


def require_may_start() -> None:
    """Raise a `CompositionError` in a process that may start none, or would do so by importing the program."""
    current = multiprocessing.current_process()
    if getattr(current, "_inheriting", False):
        raise CompositionError(f"environments in processes of their own cannot be started here. {NEEDS_GUARD}")
    if current.daemon:
        raise CompositionError(
            f"environments in processes of their own cannot be started in {current.name}, a daemon such as the workers "
            "of multiprocessing.Pool, which may start no processes. Use vectorization='sync' there, or start it by "
            "concurrent.futures.ProcessPoolExecutor."
        )


def end_group(leader: int | None) -> None:
    """Kill what is left of the group of processes that `leader` began."""
    if leader is not None and hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


@contextlib.contextmanager
def own_group() -> Iterator[None]:
    """Run the block in a group of processes of its own, of which nothing is left afterwards but this process.

    If the process that started this one goes, the block is ended by a `SystemExit`, so that it can clean up, and the
    whole group is killed if that takes longer than `PATIENCE`.
    """
    parent = os.getppid()
    # Ctrl-C is for the process that started this one, and what that one does at the end is not for this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end(number: int, frame: FrameType | None) -> None:
        if os.getppid() != parent:
            raise SystemExit(1)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, end)
    if hasattr(os, "setpgid"):
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
    leads = hasattr(os, "getpgid") and os.getpgid(0) == os.getpid()
    threading.Thread(target=_end_after, args=(parent, leads), daemon=True).start()
    try:
        yield
    finally:
        if leads:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.killpg(0, signal.SIGTERM)
            if os.getppid() != parent:
                os.killpg(0, signal.SIGKILL)


def _end_after(parent: int, leads: bool) -> None:
    """End this process some time after its parent."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os.killpg(0, signal.SIGKILL) if leads else os._exit(1)
