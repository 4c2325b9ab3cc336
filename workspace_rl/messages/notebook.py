"""Notebooks: whether one is there, how it shows films and results, and errors in a few lines."""

from __future__ import annotations

import linecache
import sys
import sysconfig
import traceback
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workspace_rl.messages.installation import BESIDE, PACKAGE, is_clone

#: Lines of the user's own code that are shown of an exception.
MOST_FRAMES = 3


def running_shell() -> Any:
    """Return IPython's shell if the program runs in one, else None."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def shown_video(path: str | Path) -> Any:
    """Return what a notebook shows of a film, or the film's path elsewhere."""
    if not hasattr(running_shell(), "kernel"):
        return Path(path)
    from IPython.display import Video

    return Video(str(path), embed=True)


# ---- results ------------------------------------------------------------------------------------------------------

_printed: tuple[weakref.ref[Any], int] | None = None


def note_printed(result: Any) -> None:
    """Note that a result was printed: the cell that did so does not show it again at its end."""
    global _printed
    shell = running_shell()
    _printed = None if shell is None else (weakref.ref(result), shell.execution_count)


def was_printed_here(result: Any) -> bool:
    """Return whether the running cell has printed `result`."""
    shell = running_shell()
    if _printed is None or shell is None:
        return False
    known, cell = _printed
    return known() is result and cell == shell.execution_count


# ---- errors -------------------------------------------------------------------------------------------------------


def short_traceback(error: BaseException) -> list[str]:
    """Return an error in a few lines: the user's own lines that led to it, its message, and how to see everything.

    In the mode "Verbose" (`%tb Verbose` for the last error, `%xmode Verbose` for all) it is everything.
    """
    shell = running_shell()
    if getattr(getattr(shell, "InteractiveTB", None), "mode", "") == "Verbose":
        everything: list[str] = shell.InteractiveTB.structured_traceback(type(error), error, error.__traceback__)
        return everything
    lines: list[str] = []
    for one in _causes(error):
        where = [_place(shell, frame) for frame in _own_frames(one)]
        if len(where) > MOST_FRAMES:
            where = [where[0], "...", *where[1 - MOST_FRAMES :]]
        if where or one is error:
            lines += [*where, f"{type(one).__name__}: {one}"]
    return [*lines, "", "(the whole traceback: %tb Verbose)"]


def _causes(error: BaseException) -> list[BaseException]:
    """Return what led to an error, the first cause first, and the error."""
    chain: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in chain:
        chain.append(one)
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return chain[::-1]


def _own_frames(error: BaseException) -> Iterator[traceback.FrameSummary]:
    """Yield the lines that an exception passed through outside of the library, of packages and of Python."""
    others = [sysconfig.get_path(one) for one in ("stdlib", "platstdlib", "purelib", "platlib")]
    others += [str(PACKAGE), *(str(PACKAGE.parent / one) for one in BESIDE if is_clone(PACKAGE.parent))]
    for frame, line in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if name.startswith("<") and not name.startswith("<ipython"):
            continue
        if not any(Path(name).is_relative_to(other) for other in others):
            yield traceback.FrameSummary(name, line, frame.f_code.co_name, lookup_line=False)


def _place(shell: Any, frame: traceback.FrameSummary) -> str:
    named = getattr(getattr(shell, "compile", None), "format_code_name", None)
    cell = named(frame.filename) if named is not None else None
    place = " ".join(cell) if cell else frame.filename
    function = "" if frame.name.startswith("<") else f", in {frame.name}"
    return f"{place}, line {frame.lineno}{function}: {linecache.getline(frame.filename, frame.lineno or 0).strip()}"
