"""Figures that belong to nobody, and how they are kept and shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from workspace_rl.errors import MissingDependencyError, RenderingError
from workspace_rl.machine.files import absolute, whole_file
from workspace_rl.messages.installation import how_to_install

if TYPE_CHECKING:  # matplotlib is imported where a picture is made: it is optional, and slow
    from matplotlib.figure import Figure


def require_matplotlib() -> None:
    """Raise a `MissingDependencyError` if matplotlib is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"plots need matplotlib ({error}). To install it: {how_to_install('plots')}"
        ) from error


def new_figure(width: float = 6.4, height: float = 5.2) -> Figure:
    """Return an empty figure (sizes in inches) that belongs to nobody: pyplot and its backend are left alone.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure to a file, whole or not at all; its name ends in .png (150 dots per inch), .svg or .pdf.

    Returns:
        The file's path.

    Raises:
        RenderingError: the name ends otherwise.
        RunFolderError: the file cannot be written.
    """
    path = absolute(path)
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise RenderingError(f"a figure is a .png, .svg or .pdf file, but {str(path)!r} was asked for.")
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=150)
    return path


def show_figure(figure: Figure) -> None:
    """Show a figure in pyplot's window, or in the notebook, and let go of it when that is closed."""
    import matplotlib.pyplot as plt

    if not any(plt.figure(number) is figure for number in plt.get_fignums()):
        # This is how pyplot takes over a figure that was made without it.
        plt.figure(FigureClass=cast(Any, lambda *args, **kwargs: figure))
    plt.show()
    plt.close(figure)
