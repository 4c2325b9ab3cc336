"""Whether two samples differ, such as the scores of two algorithms, after Colas et al. 2019 (arXiv:1904.06979)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workspace_rl.errors import ConfigError, did_you_mean
from workspace_rl.evaluation.intervals import scipy_stats

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Difference:
    """What a test says of two samples; true where it says that they differ."""

    differ: bool
    #: How often samples of one distribution would differ as much.
    p_value: float
    #: Cohen's d: the difference of the means, first minus second, over the root of the mean variance.
    effect_size: float
    #: The means, and the numbers of values.
    means: tuple[float, float]
    sizes: tuple[int, int]
    test: str
    alpha: float

    def __bool__(self) -> bool:
        """Return whether the test says that the samples differ."""
        return self.differ

    def __str__(self) -> str:
        """Return the verdict, and what it rests on."""
        verdict = "differ" if self.differ else "do not differ, as far as these values tell"
        return (
            f"means {self.means[0]:.6g} of {self.sizes[0]} and {self.means[1]:.6g} of {self.sizes[1]}: they "
            f"{verdict} ({self.test} test, p = {self.p_value:.3g}, alpha = {self.alpha:g}; effect size d = "
            f"{self.effect_size:.3g})"
        )


def differ(first: Any, second: Any, test: str = "welch", alpha: float = 0.05) -> Difference:
    """Return whether two samples (`[n_seeds]`, arrays or tensors) differ, with the p-value and the effect size.

        if differ(scores_of_sac, scores_of_td3): ...
        print(differ(scores_of_sac, scores_of_td3))

    Args:
        first: for instance the final scores of an algorithm, one for each seed.
        second: those of another one.
        test: a name in `TESTS`; "welch" does not suppose equal variances, and is recommended.
        alpha: how often it may say so of two samples of one distribution.

    Raises:
        ConfigError: there is no such test, `alpha` is no probability, or a sample is not of at least two finite values.
        MissingDependencyError: scipy is not installed.
    """
    if test not in TESTS:
        raise ConfigError(f"test: one of {', '.join(TESTS)} expected, {test!r} found.{did_you_mean(test, TESTS)}")
    if not 0 < alpha < 1:
        raise ConfigError(f"alpha: a probability between 0 and 1 expected, {alpha!r} found.")
    samples = [_sample(name, data) for name, data in (("first", first), ("second", second))]
    a, b = samples
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values that are all the same
        p_value = float(TESTS[test](scipy_stats(), a, b))
    difference, spread = a.mean() - b.mean(), np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    effect = difference / spread if spread else np.copysign(np.inf, difference) if difference else 0.0
    sizes, means = (len(a), len(b)), (float(a.mean()), float(b.mean()))
    # Constant samples have no t: they differ where their constants do.
    p_value = float(difference == 0) if np.isnan(p_value) else p_value
    return Difference(bool(p_value < alpha), p_value, float(effect), means, sizes, test, alpha)


def _sample(name: str, data: Any) -> Any:
    try:
        values = as_array(data)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name}: numbers expected, {data!r} found ({error}).") from error
    finite = np.isfinite(values)
    if values.ndim != 1 or len(values) < 2 or not finite.all():
        kind = f"an array {list(values.shape)}" if values.ndim != 1 else f"{finite.sum()} finite of {len(values)}"
        raise ConfigError(
            f"{name}: at least two values expected, one for each seed, all finite; {kind} found. Train more seeds, or "
            "decide what a run that has none counts."
        )
    return values


def _bootstrap(stats: Any, a: Any, b: Any) -> float:
    options = {"method": "basic", "n_resamples": 1000, "random_state": _generator()}
    drawn = stats.bootstrap((a, b), _difference, **options).bootstrap_distribution
    # Of the basic interval, which mirrors what was drawn: the level at which it reaches 0.
    twice = 2 * (a.mean() - b.mean())
    return float(min(1.0, 2 * min((drawn >= twice).mean(), (drawn <= twice).mean())))


def _permutation(stats: Any, a: Any, b: Any) -> float:
    options = {"n_resamples": 1000, "alternative": "greater", "random_state": _generator()}
    test = stats.permutation_test((a, b), lambda a, b, axis: abs(_difference(a, b, axis)), **options)
    return float(test.pvalue)


def _difference(a: Any, b: Any, axis: int) -> Any:
    return a.mean(axis=axis) - b.mean(axis=axis)


def _generator() -> np.random.Generator:
    return np.random.default_rng(np.random.randint(2**31))  # np.random.seed() makes it repeatable


def as_array(data: Any) -> Any:
    """Return numbers of any kind, tensors among them, as an array of floats."""
    return np.asarray(data.detach().cpu() if hasattr(data, "detach") else data, dtype=float)


#: P-values by name: Student's and Welch's t-tests, Student's of the ranks, Mann and Whitney's U test, the level at
#: which the bootstrap's interval of the difference of the means reaches 0, and how often means differ as much in
#: shuffled samples.
TESTS: dict[str, Callable[[Any, Any, Any], float]] = {
    "t": lambda stats, a, b: stats.ttest_ind(a, b).pvalue,
    "welch": lambda stats, a, b: stats.ttest_ind(a, b, equal_var=False).pvalue,
    "ranked t": lambda stats, a, b: stats.ttest_ind(*np.split(stats.rankdata([*a, *b]), [len(a)])).pvalue,
    "mann-whitney": lambda stats, a, b: stats.mannwhitneyu(a, b, alternative="two-sided").pvalue,
    "bootstrap": _bootstrap,
    "permutation": _permutation,
}
