"""Whether one algorithm does better than another, after Colas et al. 2019 (arXiv:1904.06979)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workspace_rl.errors import ConfigError, VariableMismatchError, did_you_mean
from workspace_rl.intervals import scipy_stats
from workspace_rl.plots import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def differ(first: Any, second: Any, test: str = "welch", alpha: float = 0.05) -> bool:
    """Return whether two samples (`[n_seeds]`, arrays or tensors) differ.

    Args:
        first: for instance the final scores of an algorithm.
        second: those of another one.
        test: a name in `TESTS`; "welch" does not suppose equal variances, and is recommended.
        alpha: how often it may say so of two samples of one distribution.

    Raises:
        ConfigError: there is no such test.
        MissingDependencyError: scipy is not installed.
    """
    if test not in TESTS:
        raise ConfigError(f"test: one of {', '.join(TESTS)} expected, {test!r} found.{did_you_mean(test, TESTS)}")
    return bool(TESTS[test](scipy_stats(), _array(first), _array(second), alpha))


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
    curves = [_array(data)[::use_every] for data in (first, second)]
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
    pairs = [(a[~np.isnan(a)], b[~np.isnan(b)]) for a, b in zip(*curves, strict=False)]
    different = [min(len(a), len(b)) > 1 and differ(a, b, test, alpha) for a, b in pairs]
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
    sample = _array(sample)
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


def _bootstrap(stats: Any, a: Any, b: Any, alpha: float) -> bool:
    options = {"confidence_level": 1 - alpha, "method": "basic", "n_resamples": 1000, "random_state": _generator()}
    low, high = stats.bootstrap((a, b), _difference, **options).confidence_interval
    return bool(low > 0 or high < 0)


def _permutation(stats: Any, a: Any, b: Any, alpha: float) -> bool:
    options = {"n_resamples": 1000, "alternative": "greater", "random_state": _generator()}
    test = stats.permutation_test((a, b), lambda a, b, axis: abs(_difference(a, b, axis)), **options)
    return bool(test.pvalue < alpha)


def _difference(a: Any, b: Any, axis: int) -> Any:
    return a.mean(axis=axis) - b.mean(axis=axis)


def _generator() -> np.random.Generator:
    return np.random.default_rng(np.random.randint(2**31))  # np.random.seed() makes it repeatable


def _array(data: Any) -> Any:
    return np.asarray(data.detach().cpu() if hasattr(data, "detach") else data, dtype=float)


#: By name: Student's and Welch's t-tests, Student's of the ranks, Mann and Whitney's U test, whether the bootstrap's
#: interval of the difference of the means leaves 0 out, and how often means differ as much in shuffled samples.
TESTS: dict[str, Callable[[Any, Any, Any, float], bool]] = {
    "t": lambda stats, a, b, alpha: stats.ttest_ind(a, b).pvalue < alpha,
    "welch": lambda stats, a, b, alpha: stats.ttest_ind(a, b, equal_var=False).pvalue < alpha,
    "ranked t": lambda stats, a, b, alpha: (
        stats.ttest_ind(*np.split(stats.rankdata([*a, *b]), [len(a)])).pvalue < alpha
    ),
    "mann-whitney": lambda stats, a, b, alpha: stats.mannwhitneyu(a, b, alternative="two-sided").pvalue < alpha,
    "bootstrap": _bootstrap,
    "permutation": _permutation,
}
