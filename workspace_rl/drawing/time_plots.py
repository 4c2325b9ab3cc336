"""One variable of a workspace over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import Tensor

from workspace_rl.drawing.figures import new_figure
from workspace_rl.errors import VariableMismatchError

if TYPE_CHECKING:  # imported where a picture is made: it is optional, and slow
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: So many batch elements have a line each, and a colour of their own.
MOST_LINES = 10


class Variables(Protocol):
    """What is asked of a workspace."""

    def __contains__(self, name: object) -> bool:
        """Return whether somebody has written the variable."""

    def get_full(self, name: str) -> Tensor:
        """Return the variable, `[T, B, ...]`."""


def plot_variable(
    workspace: Variables,
    name: str,
    *,
    batch: list[int] | None = None,
    component: int | tuple[int, ...] | None = None,
    done_variable: str = "env/done",
    title: str | None = None,
) -> Figure:
    """Draw variable `name` over time: one line for each batch element, and a dot where its episodes end.

        plot_variable(workspace, "env/reward")
        workspace.plot("env/env_obs", component=2)

    A line is interrupted where an episode ends: what follows belongs to another one, or is its last frame again.
    Integers and truth values are drawn as steps.

    Args:
        workspace: holds the variable, `[T, B]` or `[T, B, ...]`.
        name: its name.
        batch: the batch elements to draw; the first ten unless given.
        component: for `[T, B, ...]`, the index of what to draw in the rest; needed where that has several numbers.
        done_variable: `[T, B]` bool, tells where episodes end; nothing is marked without it.
        title: above the picture; the name unless given.

    Raises:
        UnknownVariableError: nobody has written the variable.
        VariableMismatchError: it has more components than one and `component` does not choose, or an index is out of
            range.
        MissingDependencyError: matplotlib is not installed.
    """
    variable = workspace.get_full(name).detach().cpu()
    whole_numbers = not (variable.is_floating_point() or variable.is_complex())
    values = variable.float().numpy()  # bfloat16 has no arrays
    values = _component(values[:, None] if values.ndim == 1 else values, name, component)
    n_elements = values.shape[1]
    chosen = list(range(min(MOST_LINES, n_elements))) if batch is None else list(batch)
    if any(not -n_elements <= one < n_elements for one in chosen):
        raise VariableMismatchError(f"variable {name!r} has {n_elements} batch elements, but {chosen} were asked for.")
    done = _done(workspace, done_variable, values.shape)
    ends = done.copy()
    ends[1:] &= ~done[:-1]
    # Evaluation environments that have finished repeat their last frame.
    values = np.where(done & ~ends, np.nan, values)
    figure = new_figure(8, 3.6)
    axes = figure.add_subplot()
    for element in chosen:
        _draw_element(axes, values[:, element], ends[:, element], str(element % n_elements), whole_numbers)
    axes.set(xlabel="time step", ylabel=name if component is None else f"{name}, component {component}")
    axes.set_title(title or name)
    axes.locator_params(axis="both" if whole_numbers else "x", integer=True)
    axes.grid(alpha=0.3)
    if len(chosen) > 1:
        legend = "batch element" + (" (dots: ends of episodes)" if ends.any() else "")
        axes.legend(title=legend, ncols=min(5, len(chosen)), fontsize="small", title_fontsize="small")
    return figure


def _draw_element(axes: Axes, values: np.ndarray, ends: np.ndarray, label: str, whole_numbers: bool) -> None:
    """Draw the line of a batch element, `[T]`, with a gap and a dot where episodes end."""
    steps, gaps = np.arange(len(values), dtype=float), ends.nonzero()[0] + 1
    (line,) = axes.plot(
        np.insert(steps, gaps, steps[gaps - 1]),
        np.insert(values.astype(float), gaps, np.nan),
        label=label,
        linewidth=1.4,
        marker="" if len(steps) > 1 else "o",
        drawstyle="steps-mid" if whole_numbers else "default",
    )
    axes.plot(gaps - 1, values[gaps - 1], "o", color=line.get_color(), markersize=5)


def _component(values: np.ndarray, name: str, component: int | tuple[int, ...] | None) -> np.ndarray:
    shape = values.shape[2:]
    if component is None:
        if int(np.prod(shape)) == 1:
            return values.reshape(values.shape[:2])
        raise VariableMismatchError(
            f"variable {name!r} has the shape {list(values.shape)}: choose what to draw of each {list(shape)}, for "
            "instance component=0."
        )
    index = component if isinstance(component, tuple) else (component,)
    inside = len(index) == len(shape) and all(-n <= one < n for one, n in zip(index, shape, strict=True))
    if not inside:
        raise VariableMismatchError(f"variable {name!r} holds {list(shape)} numbers each; there is no {component}.")
    place: Any = (slice(None), slice(None), *index)
    return values[place]  # type: ignore[no-any-return]


def _done(workspace: Variables, done_variable: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return `[T, B]`, the frames at which environments are done; none if nobody says so."""
    done = np.zeros(shape[:2], dtype=bool)
    if done_variable in workspace:
        known = workspace.get_full(done_variable).detach().cpu().numpy().astype(bool)[: shape[0]]
        if known.ndim == 2 and known.shape[1] == shape[1]:
            done[: len(known)] = known
    return done
