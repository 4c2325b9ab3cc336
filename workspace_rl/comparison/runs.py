"""Whether the runs of one configuration score better than those of another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workspace_rl.comparison.difference import Difference, differ
from workspace_rl.errors import ConfigError
from workspace_rl.messages.text_table import aligned
from workspace_rl.plots.curves import OneRun, paths_of
from workspace_rl.runs.record import RunRecord, open_runs


@dataclass(frozen=True)
class RunComparison:
    """The scores of two groups of runs, and what a test says of them; true where they differ."""

    #: By group: the runs' folders and their scores.
    scores: tuple[dict[str, float], dict[str, float]]
    difference: Difference

    def __bool__(self) -> bool:
        """Return whether the test says that the groups differ."""
        return bool(self.difference)

    def __str__(self) -> str:
        """Return a table of the scores, and the verdict."""
        rows = [
            (group, path, f"{score:.2f}")
            for group, one in zip("AB", self.scores, strict=True)
            for path, score in one.items()
        ]
        return "\n".join([*aligned([("group", "run", "final score"), *rows]), "", str(self.difference)])

    __repr__ = __str__


def compare_runs(
    first: OneRun | Iterable[OneRun], second: OneRun | Iterable[OneRun], *, test: str = "welch", alpha: float = 0.05
) -> RunComparison:
    """Compare the final scores of two groups of runs, each a configuration's with several seeds.

    A run's score is the mean return of its best policy on fresh episodes, which selected nothing.

    Args:
        first: folders of runs, or `Run`s.
        second: those of the other group.
        test: see `differ`.
        alpha: see `differ`.

    Raises:
        RunFolderError: a folder holds no run, or is damaged.
        ConfigError: a run has no final score or is in both groups, a group has fewer than two, the environments are
            not all the same, or see `differ`.
        MissingDependencyError: scipy is not installed.
    """
    groups = open_runs(paths_of(first)), open_runs(paths_of(second))
    environments = list(dict.fromkeys(one.environment for group in groups for one in group))
    if len(environments) > 1:
        raise ConfigError(f"runs: scores of one environment can be compared; {' and '.join(environments)} found.")
    both = {one.path.resolve() for one in groups[0]} & {one.path.resolve() for one in groups[1]}
    if both:
        raise ConfigError(f"runs: {min(both)} is in both groups.")
    scores = _scores(groups[0]), _scores(groups[1])
    return RunComparison(scores, differ(list(scores[0].values()), list(scores[1].values()), test, alpha))


def _scores(records: Iterable[RunRecord]) -> dict[str, float]:
    found = {}
    for record in records:
        score = record.scores("best", "final")
        if score is None:
            raise ConfigError(f"runs: {record.path} has no final score yet: workspace-rl evaluate {record.path}")
        found[str(record.path)] = float(score.mean)
    return found
