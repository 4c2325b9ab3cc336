"""`bbrl_utils.notebook`."""

from __future__ import annotations

import os
import sys
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm as tqdm

from workspace_rl.messages.notebook import running_shell, shown_video


class IPython(Enum):
    """Where the program runs: the first part of the module of IPython's shell."""

    NONE = ""
    OTHER = "other"
    IPYTHON = "IPython"
    JUPYTER = "ipykernel"
    GOOGLE_COLAB = "google"

    def is_notebook(self) -> bool:
        """Return whether it can show pictures and films."""
        return self in (IPython.JUPYTER, IPython.GOOGLE_COLAB)

    @staticmethod
    def get() -> Any:
        """Return the running shell, or None."""
        return running_shell()

    @staticmethod
    def mode() -> IPython:
        """Return where the program runs."""
        shell = running_shell()
        kind = "" if shell is None else type(shell).__module__.partition(".")[0]
        return IPython(kind) if kind in {one.value for one in IPython} else IPython.OTHER


MODE = IPython.mode()

if MODE.is_notebook():
    IPython.get().run_line_magic("matplotlib", "inline")


def video_display(path: str | Path, **kwargs: Any) -> Any:
    """Return a film for a notebook to show; elsewhere nothing."""
    return shown_video(path) if MODE.is_notebook() else None


def display(*args: Any, **kwargs: Any) -> None:
    """Print something (notebooks have their own `display`)."""
    print(*args, **kwargs)


def setup_tensorboard(path: str | Path) -> None:
    """Start TensorBoard on Colab; elsewhere say how, since a notebook had better not wait for an answer."""
    folder = outputs_dir().absolute()
    if MODE is IPython.GOOGLE_COLAB:
        IPython.get().run_line_magic("load_ext", "tensorboard")
        IPython.get().run_line_magic("tensorboard", f"--logdir '{folder}'")
    else:
        print(f"Launch tensorboard from the shell:\n{Path(sys.executable).parent}/tensorboard --logdir '{folder}'")


@cache
def testing_mode() -> bool:
    """Return whether the environment variable TESTING_MODE is "on" or "1"."""
    return os.environ.get("TESTING_MODE", "").lower() in ("on", "1")


@cache
def outputs_dir() -> Path:
    """Return the folder that everything is written into."""
    return Path("outputs-testing" if testing_mode() else "outputs")
