"""The page's pictures: SVG with the page's own colour of text, so that they fit a light and a dark page."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from workspace_rl.drawing.figures import new_figure, require_matplotlib
from workspace_rl.evaluation.intervals import bootstrap_interval, mean
from workspace_rl.plots.curves import COLOURS, MOST_PANELS, finish_axes, learning_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Metrics = Mapping[str, Sequence[tuple[int, float]]]

#: Stands for the page's colour of text until the SVG is written; no picture has it otherwise.
TEXT = "#010203"


@dataclass(frozen=True)
class Picture:
    """A picture of the page."""

    svg: Markup
    #: What it shows, for those who do not see it.
    description: str


def return_figure(metrics: Metrics, best_step: int | None) -> Picture | None:
    """Draw the returns of evaluations and of training's episodes; None if there are none."""
    evaluation, spread = _array(metrics, "eval/return_mean"), dict(metrics.get("eval/return_std", ()))
    training = _array(metrics, "train/episode_return")
    if not len(evaluation) and not len(training):
        return None
    with _page_style():
        figure = new_figure(9, 3.8)
        axes = figure.add_subplot(ylabel="return of an episode")
        if len(training):
            axes.plot(
                *training.T, color=COLOURS[6], linewidth=1, alpha=0.8, label="episodes while training (exploring)"
            )
        if len(evaluation):
            steps, values = evaluation.T
            width = np.array([spread.get(int(step), np.nan) for step in steps])
            marker = "o" if len(steps) == 1 else None
            axes.plot(steps, values, color=COLOURS[0], linewidth=2, marker=marker, label="evaluation, mean")
            band = "± standard deviation of its episodes"
            axes.fill_between(steps, values - width, values + width, color=COLOURS[0], alpha=0.2, lw=0, label=band)
            best = steps == best_step
            ring: dict[str, Any] = {"marker": "o", "markersize": 7, "markerfacecolor": "none", "markeredgewidth": 2}
            if best.any():
                axes.plot(steps[best], values[best], color=COLOURS[1], linestyle="none", label="best policy", **ring)
        finish_axes(axes)
        figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize="small")
        last = evaluation[-1] if len(evaluation) else training[-1]
        return _picture(
            figure, f"Returns over environment steps; the last one is {last[1]:.4g} at step {last[0]:,.0f}."
        )


def training_figure(run: Path, names: Sequence[str]) -> Picture:
    """Draw metrics of a run that have finite values, a panel each; no more of them than can be seen."""
    names = names[:MOST_PANELS]
    with _page_style():
        return _picture(learning_curves([run], names), f"Over environment steps: {', '.join(names)}.")


def score_figure(returns: Mapping[str, Sequence[float]], confidence: float) -> Picture | None:
    """Draw the returns of each evaluation's episodes as dots, with their mean and its interval; None without any."""
    if not returns:
        return None
    with _page_style():
        figure = new_figure(9, 0.75 + 0.55 * len(returns))
        axes = figure.add_subplot(xlabel="return of an episode")
        # The dots of equal returns lie beside each other; which is where says nothing.
        heights = np.random.default_rng(0)
        for row, values in enumerate(map(np.array, returns.values())):
            jitter = heights.uniform(-0.22, 0.22, len(values))
            axes.plot(values, row + jitter, ".", color=COLOURS[0], alpha=0.45, markersize=6, markeredgewidth=0)
            low, high = bootstrap_interval([values], mean, confidence=confidence, n_resamples=10_000)
            axes.plot([low, high], [row, row], color=COLOURS[1], linewidth=3, solid_capstyle="butt")
            axes.plot([values.mean()], [row], "|", color=COLOURS[1], markersize=18, markeredgewidth=2.5)
        axes.set_yticks(range(len(returns)), list(returns))
        axes.set_ylim(len(returns) - 0.5, -0.5)
        axes.grid(axis="x", alpha=0.25)
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        return _picture(figure, f"Returns of the episodes of: {', '.join(returns)}.")


def _array(metrics: Metrics, name: str) -> np.ndarray:
    """Return a metric's finite points, `[n, 2]`."""
    points = np.array(metrics.get(name, ()), dtype=float).reshape(-1, 2)
    finite: np.ndarray = points[np.isfinite(points).all(1)]
    return finite


@contextlib.contextmanager
def _page_style() -> Iterator[None]:
    require_matplotlib()
    import matplotlib

    keys = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    options: Any = {
        **dict.fromkeys(keys, TEXT),
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        # Text that can be read, found and copied, in the page's font.
        "svg.fonttype": "none",
        # The same run gives the same page.
        "svg.hashsalt": "workspace_rl",
    }
    with matplotlib.rc_context(options):
        yield


def _picture(figure: Figure, description: str) -> Picture:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(TEXT, "currentColor")
    # A style inside the picture would hold for the whole page; the page has it in its own, for pictures only.
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    return Picture(Markup(re.sub(r'(<svg [^>]*?) width="[^"]*"| height="[^"]*"', r"\1", svg, count=2)), description)
