"""Curves of what runs measured: returns, losses, gradient norms, and all the rest of `metrics.csv`."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workspace_rl.drawing.figures import new_figure
from workspace_rl.drawing.text import plain_text
from workspace_rl.errors import ConfigError, did_you_mean
from workspace_rl.evaluation.intervals import bootstrap_interval, interquartile_mean
from workspace_rl.runs.groups import group_runs
from workspace_rl.runs.record import RunRecord, open_runs
from workspace_rl.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The colours of Okabe and Ito, which colour-blind people can tell apart, without those too pale on white or black.
COLOURS = ("#0f7fc4", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#7b6fd0", "#7f7f7f")
LINES = ("-", "--", ":", "-.")
#: What `learning_curves` and `loss_curves` draw.
RETURNS = ("eval/return_mean",)
LOSSES = ("loss/*", "gradient_norm/*")
#: Metrics whose values are shown on a logarithmic axis, where they are positive and their greatest one is as much
#: greater than their least one.
LOGARITHMIC, LOGARITHMIC_FROM = ("loss/", "gradient_norm/"), 30
#: The points at which runs are compared that were not measured at the same steps.
GRID = 200
MOST_PANELS = 48

#: A run: its folder, or the opened one.
OneRun = str | Path | Run
Runs = OneRun | Iterable[OneRun] | Mapping[str, OneRun | Iterable[OneRun]]


@dataclass(frozen=True)
class Curve:
    """A metric of a run: `steps` and `values`, `[n]` each, without what is not finite."""

    steps: np.ndarray
    values: np.ndarray


def learning_curves(
    runs: Runs,
    metrics: str | Sequence[str] = RETURNS,
    *,
    normalise: Mapping[str, tuple[float, float]] | None = None,
    confidence: float = 0.95,
    show_runs: bool = True,
    columns: int | None = None,
    title: str | None = None,
) -> Figure:
    """Draw metrics over environment steps: a panel for each metric and environment, a line for each configuration.

    A line is the interquartile mean over the runs of one configuration, which differ in their seeds; its band is the
    stratified bootstrap's interval (Agarwal et al. 2021; see `evaluation.intervals`). It spans the steps that all of
    them have reached. A single run is shown as it is.

        learning_curves("outputs/mine")
        learning_curves(Path("outputs/Pendulum-v1").iterdir())
        learning_curves({"wide": wide_runs, "narrow": narrow_runs}, metrics=("eval/return_mean", "loss/*"))

    Args:
        runs: a run (its folder, or a `Run`); several, which are grouped by configuration (see `group_runs`); or groups
            of them by label.
        metrics: a name in `metrics.csv`, or several; `*` stands for anything.
        normalise: for each environment the scores that count as 0 and as 1, for instance those of a random and of a
            good policy. All environments are then put together in one panel, the environments being the strata.
        confidence: how much of the bootstrap's distribution a band covers.
        show_runs: also draw each run as a thin line.
        columns: the number of panels beside each other; unless given, 3, or all environments of a metric.
        title: the picture's title.

    Returns:
        The figure, which does not belong to pyplot; see `save_figure` and `show_figure`.

    Raises:
        MissingDependencyError: matplotlib or scipy is not installed.
        RunFolderError: a folder holds no run, or is damaged.
        ConfigError: there are no runs, none of them has such a metric, there are more panels than can be seen, or an
            environment has no scores to normalise by.
    """
    panels = _panels(_groups(runs), [metrics] if isinstance(metrics, str) else metrics, normalise)
    labels = list(dict.fromkeys(label for panel in panels for label in panel.lines))
    figure, grid = _grid(panels, columns, legend=len(labels) > 1)
    for axes, panel in zip(grid, panels, strict=True):
        for label, strata in panel.lines.items():
            _draw_line(axes, strata, labels.index(label), confidence, show_runs)
        _finish_panel(axes, panel)
    _add_legend(figure, panels, labels)
    if title:
        figure.suptitle(plain_text(title))
    return figure


def loss_curves(runs: Runs, **options: Any) -> Figure:
    """Draw all losses and gradient norms of runs, a panel each; arguments and errors are those of `learning_curves`."""
    return learning_curves(runs, LOSSES, **options)


# ---- what is drawn ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """What one pair of axes shows: for each line its strata, a list of curves for each environment."""

    metric: str
    heading: str
    lines: dict[str, list[list[Curve]]]


def _groups(runs: Runs) -> dict[str, list[RunRecord]]:
    if isinstance(runs, Mapping):
        return {label: open_runs(paths_of(one)) for label, one in runs.items()}
    return group_runs(open_runs(paths_of(runs)))


def paths_of(runs: OneRun | Iterable[OneRun]) -> list[str | Path]:
    """Return the folders of one run or of several.

    Raises:
        ConfigError: something is neither a folder nor a `Run`.
    """
    several = [runs] if isinstance(runs, str | Path | Run) or not isinstance(runs, Iterable) else list(runs)
    wrong = [one for one in several if not isinstance(one, str | Path | Run)]
    if wrong:
        raise ConfigError(f"runs: folders of runs, or Run(folder), expected; {type(wrong[0]).__name__} found.")
    return [one.path if isinstance(one, Run) else one for one in several]


def _panels(
    groups: Mapping[str, Sequence[RunRecord]],
    patterns: Sequence[str],
    normalise: Mapping[str, tuple[float, float]] | None,
) -> list[Panel]:
    measured = {id(record): record.metrics() for records in groups.values() for record in records}
    names = _matching(patterns, list(dict.fromkeys(name for one in measured.values() for name in one)))
    environments = list(dict.fromkeys(one.environment for records in groups.values() for one in records))
    several = len(environments) > 1

    def strata(records: Sequence[RunRecord], name: str, environment: str) -> list[Curve]:
        curves = [_curve(measured[id(one)].get(name, [])) for one in records if one.environment == environment]
        return [one for one in curves if len(one.steps)]

    panels = []
    for name in names:
        found = {
            (label, environment): strata(records, name, environment)
            for label, records in groups.items()
            for environment in environments
        }
        if normalise is None:
            for environment in environments:
                lines = {label: [found[label, environment]] for label in groups if found[label, environment]}
                panels += [Panel(name, f"{environment}: {name}" if several else name, lines)] if lines else []
        else:
            lines = {
                label: [
                    [_normalised(curve, environment, normalise) for curve in found[label, environment]]
                    for environment in environments
                    if found[label, environment]
                ]
                for label in groups
            }
            panels.append(Panel(name, f"{name}, normalised", {label: line for label, line in lines.items() if line}))
    if not panels:
        raise ConfigError(f"metrics: {', '.join(names[:MOST_PANELS])} of these runs have no finite value.")
    if len(panels) > MOST_PANELS:
        raise ConfigError(f"metrics: at most {MOST_PANELS} panels can be seen at once, {len(panels)} asked for.")
    return panels


def _matching(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names that match, in the order of the patterns, and of the alphabet within one."""
    found: dict[str, None] = {}
    for pattern in patterns:
        found |= dict.fromkeys(name for name in sorted(names) if name == pattern or fnmatch.fnmatchcase(name, pattern))
    if not found:
        hint = did_you_mean(patterns[0], names) if len(patterns) == 1 else ""
        raise ConfigError(
            f"metrics: the runs have no {' and no '.join(map(repr, patterns))}.{hint} "
            f"They have {', '.join(names[:MOST_PANELS]) or 'measured nothing yet'}."
        )
    return list(found)


def _curve(pairs: Sequence[tuple[int, float]]) -> Curve:
    # The last one of a step that was measured twice.
    points = np.array(sorted(dict(pairs).items()), dtype=float).reshape(-1, 2)
    steps, values = points.T
    finite = np.isfinite(values)
    return Curve(steps[finite], values[finite])


def _normalised(curve: Curve, environment: str, normalise: Mapping[str, tuple[float, float]]) -> Curve:
    if environment not in normalise:
        raise ConfigError(
            f"normalise: the scores that count as 0 and as 1 expected for {environment!r}, "
            f"none given.{did_you_mean(environment, normalise)}"
        )
    low, high = normalise[environment]
    if not low < high:
        raise ConfigError(f"normalise: low < high expected for {environment!r}; {low}, {high} found.")
    return Curve(curve.steps, (curve.values - low) / (high - low))


def align(curves: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps (`[n]`) that all curves span, and the curves' values there (`[n_curves, n]`).

    These are the steps of the measurements where all have the same, else evenly spaced ones, and values between two
    measurements lie on the straight line. There are none (n = 0) where the curves have no step in common.
    """
    first, last = max(one.steps[0] for one in curves), min(one.steps[-1] for one in curves)
    steps = curves[0].steps
    if any(not np.array_equal(one.steps, steps) for one in curves):
        steps = np.linspace(first, last, GRID) if first < last else np.empty(0)
    return steps, np.array([np.interp(steps, one.steps, one.values) for one in curves])


# ---- drawing ------------------------------------------------------------------------------------------------------


def _grid(panels: Sequence[Panel], columns: int | None, legend: bool) -> tuple[Figure, list[Axes]]:
    """Return a figure with axes for each panel, row by row, and room for a legend."""
    if columns is None:
        environments = len(panels) // len({panel.metric for panel in panels})
        columns = environments if 1 < environments < len(panels) and environments <= 4 else 3
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    size = (7.2, 4.2) if len(panels) == 1 else (3.9 * columns, 2.7 * rows)
    figure = new_figure(size[0], size[1] + (0.25 if legend else 0))
    figure.set_layout_engine("constrained", hspace=0.08)
    grid = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in grid[len(panels) :]:
        axes.remove()
    return figure, grid[: len(panels)]


def _style(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": LINES[index // len(COLOURS) % len(LINES)]}


def _draw_line(axes: Axes, strata: Sequence[Sequence[Curve]], index: int, confidence: float, show_runs: bool) -> None:
    curves = [curve for stratum in strata for curve in stratum]
    style = _style(index)
    if len(curves) == 1:
        _draw_curve(axes, curves[0].steps, curves[0].values, style)
        return
    if show_runs:
        for curve in curves:
            axes.plot(curve.steps, curve.values, **style, linewidth=0.6, alpha=0.35)
    steps, values = align(curves)
    if not len(steps):
        return
    _draw_curve(axes, steps, interquartile_mean(values), style)
    ends = np.cumsum([len(stratum) for stratum in strata])[:-1]
    low, high = bootstrap_interval(np.split(values, ends), confidence=confidence)
    axes.fill_between(steps, low, high, color=style["color"], alpha=0.22, linewidth=0)


def _draw_curve(axes: Axes, steps: np.ndarray, values: np.ndarray, style: Mapping[str, Any]) -> None:
    # A single measurement is a dot: a line through it would not be seen.
    axes.plot(steps, values, **style, linewidth=1.6, marker="o" if len(steps) == 1 else None, markersize=4)


def _finish_panel(axes: Axes, panel: Panel) -> None:
    axes.set_title(plain_text(panel.heading, 60), fontsize="medium")
    finish_axes(axes)
    values = np.concatenate([curve.values for line in panel.lines.values() for stratum in line for curve in stratum])
    if panel.metric.startswith(LOGARITHMIC) and values.min() > 0 and values.max() > LOGARITHMIC_FROM * values.min():
        axes.set_yscale("log")


def finish_axes(axes: Axes, xlabel: str = "environment steps") -> None:
    """Give axes whose first one counts steps their ticks, grid and label."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.set_xlabel(xlabel, fontsize="small")
    axes.tick_params(labelsize="small")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _add_legend(figure: Figure, panels: Sequence[Panel], labels: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    n_runs = {
        label: max(sum(map(len, panel.lines[label])) for panel in panels if label in panel.lines) for label in labels
    }
    if len(labels) == 1 and n_runs[labels[0]] == 1:
        return
    texts = [f"{plain_text(label)} ({n_runs[label]} run{'s' * (n_runs[label] > 1)})" for label in labels]
    handles = [Line2D([], [], **_style(index), linewidth=1.6) for index in range(len(labels))]
    columns = max(1, min(len(labels), int(figure.get_figwidth() * 11 / max(map(len, texts)))))
    figure.legend(handles, texts, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")
