"""Silence what native libraries print on the process's standard output and standard error.

PyBullet announces its build time when it is imported and ``argv[0]=`` for each simulation; other simulators print
banners. They print from C, below Python's ``sys.stdout``, so that ``contextlib.redirect_stdout`` cannot catch it.
"""

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator

_STANDARD_DESCRIPTORS = (1, 2)


@contextlib.contextmanager
def quiet_native_output() -> Iterator[None]:
    """Discard everything written to file descriptors 1 and 2 while the block runs.

    What was printed before the block is flushed first and so is kept; what C code leaves in its buffers during the
    block is flushed, and thus discarded, before the descriptors are restored. The descriptors themselves are redirected
    rather than ``sys.stdout``, so that this also works where ``sys.stdout`` is no file (Jupyter, test runners).

    Blocks may be nested and may overlap in several threads: the first to enter redirects, the last to leave restores.
    The descriptors belong to the whole process, therefore the output of *other* threads is discarded as well; keep
    blocks short. Python's own ``print`` is discarded only where ``sys.stdout`` writes to file descriptor 1. Exceptions
    pass through.
    """
    _REDIRECTION.enter()
    try:
        yield
    finally:
        _REDIRECTION.leave()


class _Redirection:
    """The redirection of the standard descriptors to the null device, shared by all blocks of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open_blocks = 0
        self._saved_descriptors: dict[int, int] = {}

    def enter(self) -> None:
        with self._lock:
            if self._open_blocks == 0:
                self._redirect()
            self._open_blocks += 1

    def leave(self) -> None:
        with self._lock:
            self._open_blocks -= 1
            if self._open_blocks == 0:
                self._restore()

    def _redirect(self) -> None:
        _flush_all()
        null_device = os.open(os.devnull, os.O_WRONLY)
        try:
            for descriptor in _STANDARD_DESCRIPTORS:
                # A process without a console (a service, pythonw) may have closed its standard descriptors.
                with contextlib.suppress(OSError):
                    self._saved_descriptors[descriptor] = os.dup(descriptor)
                    os.dup2(null_device, descriptor)
        finally:
            os.close(null_device)

    def _restore(self) -> None:
        _flush_all()
        while self._saved_descriptors:
            descriptor, saved = self._saved_descriptors.popitem()
            os.dup2(saved, descriptor)
            os.close(saved)


_REDIRECTION = _Redirection()


def _flush_all() -> None:
    """Flush Python's and C's buffers of the standard streams."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        # The stream may be None, closed, or a stand-in without a working flush.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()  # type: ignore[union-attr]
    _flush_c_streams()


def _flush_c_streams() -> None:
    """Flush C's ``stdout`` and ``stderr``.

    Not ``fflush(NULL)`` where it can be avoided: that also waits for the lock of ``stdin``, which a thread reading a
    line at the terminal holds until the user presses the return key.
    """
    library = _c_library()
    if library is None:
        return
    names = ("__stdoutp", "__stderrp") if sys.platform == "darwin" else ("stdout", "stderr")
    try:
        streams = [ctypes.c_void_p.in_dll(library, name) for name in names]
    except ValueError:
        streams = [ctypes.c_void_p(None)]
    for stream in streams:
        library.fflush(stream)


def _c_library() -> ctypes.CDLL | None:
    """The C library of the process, or None where it cannot be opened."""
    try:
        return ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
    except (OSError, TypeError):
        return None
