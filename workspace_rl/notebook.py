"""Whether a notebook is there to show things, and how it shows a film."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


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
