"""What a run measures on its way, and its progress bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from workspace_rl.evaluation import Evaluation
from workspace_rl.experience.experience import Experience
from workspace_rl.experience.fragment import Fragment
from workspace_rl.machine.files import told_errors
from workspace_rl.ranks import Alone
from workspace_rl.runs.logger import Logger, means_of
from workspace_rl.training.parts.progress import Progress
from workspace_rl.training.parts.watched_fleet import WatchedFleet


class MeansOfRanks:
    """Means over what all ranks have recorded."""

    def __init__(self, ranks: Alone) -> None:
        """Ask these ranks, all of which call at the same time."""
        self._ranks = ranks

    def __call__(self, values: Mapping[str, list[Tensor]]) -> Mapping[str, float | Tensor]:
        """Return the mean of each name's values, which are pieces `[n]`."""
        if not self._ranks.joined:  # there is only one, or others have left
            return means_of(values)
        own = {name: torch.cat(pieces).double() for name, pieces in values.items()}
        every = self._ranks.gather({name: (float(one.sum()), len(one)) for name, one in own.items()})
        means = {}
        for name in dict.fromkeys(name for one in every for name in one):
            sums, counts = zip(*(one[name] for one in every if name in one), strict=True)
            means[name] = sum(sums) / sum(counts)
        return means


#: The mean age of the weights that made what was learned from, in updates.
_AGE = "weights_age/mean"


class Logs:
    """Writes what fragments, updates and evaluations measure."""

    def __init__(
        self,
        logger: Logger,
        total_steps: int,
        progress: Progress,
        *,
        returns_file: Path | None,
        show: bool,
        fleet: WatchedFleet | None = None,
    ) -> None:
        """Write by `logger`.

        Args:
            logger: writes scalars.
            total_steps: the length of the run.
            progress: where it stands.
            returns_file: gets a line for each evaluation, the returns of its episodes; None for no such file.
            show: whether to show a progress bar.
            fleet: collectors that are shown and logged, too; None where there is only the one of the learner.
        """
        self._logger, self._total, self._progress = logger, total_steps, progress
        self._returns_file = returns_file
        self._bar = _progress_bar(total_steps, progress.steps, show)
        self._scores: dict[str, str] = {}
        self._age: dict[str, str] = {}
        self._fleet, self._fleet_shown = fleet, 0.0
        if fleet is not None and show:
            fleet.tell = self._bar.write

    def fragment(self, fragment: Fragment) -> None:
        """Note the episodes that have ended, and how far the run has got."""
        self._bar.update(min(self._progress.steps, self._total) - self._bar.n)
        if self._fleet is not None and not self._bar.disable and time.monotonic() - self._fleet_shown >= _interval():
            self._show()
        returns, lengths = fragment.episodes
        if len(returns):
            self._logger.average({"train/episode_return": returns, "train/episode_length": lengths})

    def update(self, metrics: Mapping[str, Tensor]) -> None:
        """Note what an update has measured."""
        self._logger.average(metrics)

    def scalars(self, scalars: Mapping[str, float]) -> None:
        """Note numbers as they are now."""
        for name, value in scalars.items():
            self._logger.add_scalar(name, value, self._progress.steps)
        if _AGE in scalars:
            self._age = {"age": f"{scalars[_AGE]:.1f}"}

    def experience(self, experience: Experience) -> None:
        """Note what an experience has measured, as far as it does: one of a class of its own need not."""
        for method, note in (("metrics", self.scalars), ("distributions", self._histograms)):
            measured = getattr(experience, method, None)
            if measured is not None:
                note(measured(self._progress.n_updates))

    def hold(self) -> None:
        """Write nothing until `evaluation` or `release`: what is noted meanwhile comes after the score."""
        self._logger.hold()

    def release(self) -> None:
        """Write what was held; there is no score."""
        self._logger.release()

    def evaluation(self, evaluation: Evaluation, step: int) -> None:
        """Write the score of the policy of a step, and then what was held."""
        if self._bar.format_dict["rate"]:
            self._logger.add_scalar("time/steps_per_second", self._bar.format_dict["rate"], step, csv=False)
        scores = {
            "eval/return_mean": evaluation.mean,
            "eval/return_std": evaluation.std,
            "eval/length_mean": sum(evaluation.lengths) / len(evaluation.lengths),
        }
        self._logger.release(scores, step)

    def scored(self, evaluation: Evaluation, step: int) -> None:
        """Note each episode of an evaluation, and show its score beside the progress bar, with the best one."""
        if self._returns_file is not None:
            with told_errors(self._returns_file), self._returns_file.open("a", encoding="utf-8") as file:
                file.write(",".join([str(step), *map(repr, evaluation.returns)]) + "\n")
        best = self._progress.best_score
        last = f"{evaluation.mean:.1f}"
        self._scores = {"last": last, "best": f"{best.mean:.1f}" if best else "none"}
        self._show()

    def flush(self) -> None:
        """Write everything noted so far."""
        if self._fleet is not None:
            for name, value in self._fleet.scalars().items():
                self._logger.add_scalar(name, value, self._progress.steps, csv=False)
        self._logger.flush(self._progress.steps)

    def close(self) -> None:
        """Close files and bar."""
        if self._fleet is not None:
            self._fleet.keep()
        self._bar.close()
        self._logger.close()

    def _histograms(self, values: Mapping[str, Tensor]) -> None:
        for name, one in values.items():
            if len(one):
                self._logger.add_histogram(name, one, self._progress.steps)

    def _show(self) -> None:
        """Show what is known beside the progress bar."""
        texts = {} if self._fleet is None else {**self._fleet.texts(), **self._age}
        self._bar.set_postfix(texts, refresh=False, **self._scores)
        self._fleet_shown = time.monotonic()


def _interval() -> float:
    # Seconds between two drawings of the bar: rarely where lines cannot be overwritten, as in a log file.
    return 0.5 if sys.stderr.isatty() or "ipykernel" in sys.modules else 10


def _progress_bar(total: int, initial: int, show: bool) -> Any:
    interval = _interval()
    return tqdm(
        total=total,
        initial=min(initial, total),
        unit="step",
        disable=not show,
        mininterval=interval,
        maxinterval=interval,
    )
