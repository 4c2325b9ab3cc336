"""Scores of a few seeds in one number and an interval (Agarwal et al. 2021, arXiv:2108.13264, as in `rliable`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from workspace_rl.errors import ConfigError, MissingDependencyError
from workspace_rl.messages.installation import how_to_install

Statistic = Callable[..., Any]


def interquartile_mean(scores: Any, axis: int = 0) -> Any:
    """Return the mean of the middle half of `scores` along `axis`: a quarter, rounded down, is left out at each end.

    Fewer outliers matter than for the mean, and it varies less from sample to sample than the median. Of up to three
    scores it is the mean.

    Raises:
        MissingDependencyError: scipy is not installed.
    """
    return scipy_stats().trim_mean(np.asarray(scores, dtype=float), 0.25, axis=axis)


def mean(scores: Any, axis: int = 0) -> Any:
    """Return the mean of `scores` along `axis`."""
    return np.mean(scores, axis=axis)


def bootstrap_interval(
    strata: Sequence[Any],
    statistic: Statistic = interquartile_mean,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[Any, Any]:
    """Return the limits (each `[...]`) of the stratified bootstrap's percentile interval of a statistic.

    Each resample draws as many runs from each stratum as it has, with replacement, and pools them. The same scores give
    the same interval.

    Args:
        strata: for each task its scores, `[n_runs, ...]`; one array for one task.
        statistic: `statistic(scores, axis=0)`, of the pooled scores.
        confidence: how much of the resamples' values lies between the limits.
        n_resamples: the number of resamples.
        seed: of the resamples.

    Returns:
        Lower and upper limit; NaN where a stratum has a single run, which says nothing of how runs differ.

    Raises:
        ConfigError: there are no scores, or `confidence` is not between 0 and 1.
        MissingDependencyError: scipy is not installed.
    """
    samples = [np.asarray(scores, dtype=float) for scores in strata]
    if not samples or not all(map(len, samples)):
        raise ConfigError("strata: at least one task with at least one run expected, none found.")
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence: a number between 0 and 1 expected, {confidence} found.")
    if min(map(len, samples)) < 2:
        unknown = np.full(samples[0].shape[1:], np.nan)
        return unknown, unknown
    interval = (
        scipy_stats()
        .bootstrap(
            samples,
            # scipy hands over the resamples with the runs on `axis`, the last one.
            lambda *resampled, axis: statistic(np.concatenate(resampled, axis=axis), axis=axis),
            axis=0,
            vectorized=True,
            n_resamples=n_resamples,
            # So many resamples at a time that they fill some 10 MB.
            batch=max(1, 1_000_000 // max(1, sum(sample.size for sample in samples))),
            confidence_level=confidence,
            method="percentile",
            random_state=np.random.default_rng(seed),
        )
        .confidence_interval
    )
    return interval.low, interval.high


def scipy_stats() -> Any:
    """Return `scipy.stats`.

    Raises:
        MissingDependencyError: scipy is not installed.
    """
    try:
        from scipy import stats
    except ImportError as error:
        raise MissingDependencyError(f"this needs scipy ({error}). To install it: {how_to_install('plots')}") from error
    return stats
