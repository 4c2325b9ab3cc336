"""`moviepy.editor`, which moviepy 2 no longer has: its clips take the arguments that they once took.

PyTorch's own `add_video` is among those who call it.
"""

from __future__ import annotations

from typing import Any

import moviepy
from moviepy import *  # noqa: F403  (what moviepy.editor exported)

from workspace_rl.messages.notebook import shown_video as ipython_display  # noqa: F401

#: Arguments of moviepy 1 that said how to do it, or what to print.
GONE = {"colors", "dispose", "fuzz", "opt", "program", "progress_bar", "rewrite_audio", "tempfiles", "verbose"}


class _AsBefore:
    """What clips are given on top."""

    def write_gif(self, *args: Any, **kwargs: Any) -> Any:
        """Write the clip as a GIF."""
        return super().write_gif(*args, **_of_today(kwargs))  # type: ignore[misc]

    def write_videofile(self, *args: Any, **kwargs: Any) -> Any:
        """Write the clip as a film."""
        return super().write_videofile(*args, **_of_today(kwargs))  # type: ignore[misc]


def _of_today(kwargs: dict[str, Any]) -> dict[str, Any]:
    quiet = {} if kwargs.get("verbose", kwargs.get("progress_bar", True)) else {"logger": None}
    return quiet | {name: value for name, value in kwargs.items() if name not in GONE}


for _name in moviepy.__all__:
    _found = getattr(moviepy, _name)
    if isinstance(_found, type) and issubclass(_found, moviepy.VideoClip):
        globals()[_name] = type(_name, (_AsBefore, _found), {"__module__": __name__, "__doc__": _found.__doc__})
