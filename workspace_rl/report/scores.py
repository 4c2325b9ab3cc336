"""What evaluations say of a run's policies, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workspace_rl.evaluation.evaluation import Evaluation
from workspace_rl.evaluation.intervals import bootstrap_interval, interquartile_mean, mean
from workspace_rl.runs.record import RunRecord

CONFIDENCE = 0.95

#: Which evaluations are told: the policy, the kind, a name and a note.
EVALUATIONS: Sequence[tuple[str, str, str, str]] = (
    ("best", "final", "Final score", "the best policy, on fresh episodes that selected nothing"),
    ("best", "selection", "Selection", "the evaluation that chose the best policy, and so is too favourable"),
    ("latest", "selection", "Latest policy", "the last evaluation while training"),
)
STATISTICS: Sequence[tuple[str, Callable[..., Any]]] = (("mean", mean), ("interquartile mean", interquartile_mean))

Row = tuple[str, float, tuple[float, float] | None]


@dataclass(frozen=True)
class Score:
    """An evaluation of a policy, summed up."""

    name: str
    note: str
    scores: Evaluation

    @property
    def returns(self) -> np.ndarray:
        """The episodes' returns, `[n]`."""
        return np.array(self.scores.returns)

    @property
    def mean_return(self) -> float:
        """The mean return."""
        return float(self.returns.mean())

    def interval(self, statistic: Callable[..., Any] = mean) -> tuple[float, float] | None:
        """Return the bootstrap interval of a statistic of the returns, None for a single episode."""
        low, high = bootstrap_interval([self.returns], statistic, confidence=CONFIDENCE, n_resamples=10_000)
        return None if np.isnan(low) else (float(low), float(high))

    def rows(self) -> list[Row]:
        """Return what there is to tell of the returns: a name, a number, and its interval if it has one."""
        returns = self.returns
        rows: list[Row] = [(name, float(one(returns)), self.interval(one)) for name, one in STATISTICS]
        spread = (("standard deviation", returns.std()), ("least", returns.min()), ("greatest", returns.max()))
        return [*rows, *((name, float(value), None) for name, value in spread)]

    def episodes(self) -> list[tuple[float, int | None, int | None]]:
        """Return each episode's return, length and seed (None where unknown)."""
        n = len(self.returns)
        lengths, seeds = (
            list(one) if len(one) == n else [None] * n for one in (self.scores.lengths, self.scores.seeds)
        )
        return list(zip(self.scores.returns, lengths, seeds, strict=True))


def read_scores(record: RunRecord) -> list[Score]:
    """Return what evaluations of finite scores there are; errors are those of `RunRecord.scores`."""
    found = ((name, note, record.scores(which, kind)) for which, kind, name, note in EVALUATIONS)
    # The page tells elsewhere that `eval/return_mean` was not finite.
    return [
        Score(name, note, scores)
        for name, note, scores in found
        if scores is not None and np.isfinite(scores.returns).all()
    ]
