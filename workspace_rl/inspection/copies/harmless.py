"""Running somebody's program so that nothing of it is seen outside: random numbers, settings, texts, files."""

from __future__ import annotations

import builtins
import contextlib
import io
import logging
import os
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

from workspace_rl.basics.seeding import RandomState
from workspace_rl.inspection.copies.untraceable import UntraceableError

#: Functions that change files or start programs, whatever they are given.
_CHANGING = [
    *((os, name) for name in ("mkdir", "rmdir", "remove", "unlink", "rename", "replace", "symlink", "link", "system")),
    (subprocess.Popen, "__init__"),
    (torch, "save"),
]


@contextlib.contextmanager
def harmless() -> Iterator[None]:
    """Let nothing of what is run within the block be seen outside of it.

    Random generators, torch's settings, the working directory and the environment's variables are put back; texts are
    not shown; files that would be written and programs that would be started raise `UntraceableError`. Gradients are
    computed, whatever holds around the block.
    """
    validates = torch.distributions.Distribution._validate_args
    dtype, directory, variables = torch.get_default_dtype(), os.getcwd(), dict(os.environ)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(RandomState(0))
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            for redirect in (contextlib.redirect_stdout, contextlib.redirect_stderr):
                stack.enter_context(redirect(io.StringIO()))
            stack.enter_context(_nothing_written())
            # Checks of a distribution's parameters look at their values.
            torch.distributions.Distribution.set_default_validate_args(False)
            yield
    finally:
        torch.distributions.Distribution.set_default_validate_args(validates)
        torch.set_default_dtype(dtype)
        if os.getcwd() != directory:
            os.chdir(directory)
        if dict(os.environ) != variables:
            os.environ.clear()
            os.environ.update(variables)


@contextlib.contextmanager
def _nothing_written() -> Iterator[None]:
    """Refuse to this thread, within the block, to write files, and log nothing of it."""
    thread = threading.get_ident()

    def is_here() -> bool:
        return threading.get_ident() == thread

    def unless_here(original: Callable[..., Any], harms: Callable[..., bool]) -> Callable[..., Any]:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if is_here() and harms(*args, **kwargs):
                raise UntraceableError("it writes a file or starts a program")
            return original(*args, **kwargs)

        return guarded

    def logs(self: Any, record: Any) -> None:
        if not is_here():
            call_handlers(self, record)

    call_handlers = logging.Logger.callHandlers
    replaced: list[tuple[Any, str, Any]] = [
        (builtins, "open", unless_here(builtins.open, _opens_to_write)),
        (io, "open", unless_here(io.open, _opens_to_write)),
        (os, "open", unless_here(os.open, _opens_flags_to_write)),
        (logging.Logger, "callHandlers", logs),
        *((where, name, unless_here(getattr(where, name), _always)) for where, name in _CHANGING),
    ]
    before = [(where, name, getattr(where, name)) for where, name, _ in replaced]
    try:
        for where, name, function in replaced:
            setattr(where, name, function)
        yield
    finally:
        for where, name, function in before:
            setattr(where, name, function)


def _always(*args: Any, **kwargs: Any) -> bool:
    return True


def _opens_to_write(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> bool:
    return any(letter in mode for letter in "wax+")


def _opens_flags_to_write(path: Any, flags: int, *args: Any, **kwargs: Any) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
