"""Who is asking, and where in the program: by the frames of the interpreter, since functions declare nothing."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import CodeType, FrameType

from workspace_rl.workspace import Workspace

#: How the names of the files that workspaces are made of begin.
_WORKSPACES = (Workspace.__module__, "workspace_rl.variables.")
#: Methods of a workspace that do what they are asked for and nothing else.
_DIRECT = {"get", "set", "get_full", "set_full", "set_several", "__getitem__", "__setitem__", "<genexpr>"}
#: Parts of functions that are functions of their own.
COMPREHENSIONS = ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>")
#: Modules of this library, or how their names begin, whose functions are none of a program's.
_OURS = (
    *_WORKSPACES,
    *(f"workspace_rl.{one}" for one in ("inspection", "agent", "composition", "learning.metrics", "learning.weighted")),
)
#: Modules that stand between a program and its workspaces; so do those of this room.
_BETWEEN = ("contextlib", "workspace_rl.compat.assertions", "workspace_rl.learning.weighted")


@dataclass
class Caller:
    """Who uses a variable of a workspace."""

    #: The innermost function outside of the workspace's files and of these.
    frame: FrameType | None
    workspace: Workspace | None
    #: Whether the workspace does it by itself, for instance in `select_batch`.
    internal: bool
    #: Whether that function is one of this library.
    library: bool


def caller() -> Caller:
    """Look who is asking, by the frames of the interpreter: any function may, without declaring it."""
    frame: FrameType | None = sys._getframe(1)
    workspace, internal = None, False
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_WORKSPACES) or module.endswith("bbrl.workspace"):
            owner = frame.f_locals.get("self")
            workspace = owner if isinstance(owner, Workspace) else workspace
            internal = internal or frame.f_code.co_name not in _DIRECT
        elif module not in _BETWEEN and module.rpartition(".")[0] != __package__:
            is_library = module.startswith("workspace_rl.")
            return Caller(frame, workspace, internal, is_library)
        frame = frame.f_back
    return Caller(None, workspace, internal, False)


def program_frame(depth: int) -> FrameType | None:
    """Return the innermost frame of the program that is traced, as seen from `depth` callers up."""
    frame: FrameType | None = sys._getframe(depth + 1)
    while frame is not None and _is_inside(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    return frame


def failing_function(error: BaseException) -> str:
    """Return the name of the innermost function of the program that an error passed through."""
    name, traceback = "update", error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if not _is_inside(frame.f_globals.get("__name__", "")):
            name = short_name(frame.f_code)
        traceback = traceback.tb_next
    return name


def _is_inside(module: str) -> bool:
    return module == "torch" or module.startswith(("torch.", "contextlib", *_OURS))


def short_name(code: CodeType) -> str:
    """Return the name of a function, with that of its class, and without those of functions around it."""
    name = code.co_qualname
    while name.endswith(COMPREHENSIONS):
        name = name.rpartition(".<locals>.")[0]
    return name.rpartition("<locals>.")[2]
