"""Two sets of learning curves in one figure, which says where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workspace_rl.comparison.difference import as_array, differ
from workspace_rl.drawing.figures import new_figure
from workspace_rl.errors import ConfigError, VariableMismatchError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def compare_curves(
    first: Any,
    second: Any,
    *,
    test: str = "welch",
    alpha: float = 0.01,
    labels: Sequence[str] = ("first", "second"),
    point_every: float = 1,
    use_every: int = 1,
    central: str = "median",
    error: Any = 80,
    xlabel: str = "training steps",
) -> Figure:
    """Draw two sets of learning curves, with a dot above the steps at which a test says that they differ.

    Args:
        first: `[n_steps, n_seeds]`, NaN where a value is missing.
        second: `[n_steps, n_seeds]`; both numbers may differ from those of `first`.
        test: see `differ`.
        alpha: see `differ`; for each of the steps.
        labels: the two algorithms' names.
        point_every: the steps between two rows.
        use_every: of so many rows, one is drawn and tested.
        central: see `middle_and_band`.
        error: see `middle_and_band`.
        xlabel: the text below.

    Raises:
        VariableMismatchError: the curves are not `[n_steps, n_seeds]`.
        ConfigError: `test` or `central` is unknown.
        MissingDependencyError: matplotlib or scipy is not installed.
    """
    curves = [as_array(data)[::use_every] for data in (first, second)]
    if any(curve.ndim != 2 for curve in curves):
        found = " and ".join(str(curve.shape) for curve in curves)
        raise VariableMismatchError(f"arrays of dimension 2 (n_steps, n_seeds) expected, {found} found.")
    steps = np.arange(max(map(len, curves))) * use_every * point_every
    figure = new_figure(10, 5)
    axes = figure.add_subplot(xlabel=xlabel, ylabel="performance")
    for curve, label in zip(curves, labels, strict=True):
        middle, low, high = middle_and_band(curve, central, error)
        axes.plot(steps[: len(curve)], middle, label=label, linewidth=2)
        axes.fill_between(steps[: len(curve)], low, high, alpha=0.3)
    pairs = [(a[np.isfinite(a)], b[np.isfinite(b)]) for a, b in zip(*curves, strict=False)]
    different = [min(len(a), len(b)) > 1 and bool(differ(a, b, test, alpha)) for a, b in pairs]
    dots = steps[: len(different)][different]
    axes.scatter(
        dots,
        np.full(len(dots), 0.98),
        12,
        "black",
        label=f"differ (alpha {alpha})",
        transform=axes.get_xaxis_transform(),
    )
    axes.margins(y=0.08)
    axes.legend(frameon=False)
    return figure


def middle_and_band(sample: Any, central: str = "median", error: Any = 80) -> tuple[Any, Any, Any]:
    """Return the middle and the limits of an error band (each `[n_steps]`) of `sample` (`[n_steps, n_seeds]`).

    Args:
        sample: NaN where a value is missing.
        central: "mean" or "median".
        error: "std", "sem" (the standard error of the mean of n seeds: the root of their squared deviations' sum over
            n (n - 1); NaN of a single seed) or a percentage of the sample.

    Raises:
        ConfigError: `central` is neither.
    """
    if central not in ("mean", "median"):
        raise ConfigError(f"central: 'mean' or 'median' expected, {central!r} found.")
    sample = as_array(sample)
    middle = (np.nanmean if central == "mean" else np.nanmedian)(sample, axis=1)
    if error not in ("std", "sem"):
        low, high = np.nanpercentile(sample, [50 - float(error) / 2, 50 + float(error) / 2], axis=1)
        return middle, low, high
    width = np.nanstd(sample, axis=1)
    if error == "sem":
        n_seeds = (~np.isnan(sample)).sum(axis=1)
        # Of a single seed it is not known: NaN.
        width = width / np.sqrt(np.where(n_seeds > 1, n_seeds - 1, np.nan))
    return middle, middle - width, middle + width
