"""The end of a run: the best policy's score on fresh episodes, its film, and what is said of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workspace_rl.algorithm.names import AlgorithmClass
from workspace_rl.algorithm.own_algorithms import ways_on
from workspace_rl.config import RunConfig
from workspace_rl.config.schema import flatten
from workspace_rl.errors import WorkspaceRLError
from workspace_rl.evaluation import Evaluation
from workspace_rl.messages.notebook import was_printed_here
from workspace_rl.messages.printing import say
from workspace_rl.runs.run import Run
from workspace_rl.runs.tensorboard_run import add_run
from workspace_rl.training.parts.progress import Progress


@dataclass(frozen=True)
class TrainingResult:
    """What a training run led to."""

    run: Path
    steps: int
    best_step: int
    #: The evaluation that chose the best policy; None if there was none.
    selection: Evaluation | None
    #: The best policy's score on fresh episodes; None if it was not measured.
    final: Evaluation | None
    video: Path | None
    tensorboard: Path | None
    #: Whether ctrl-C or SIGTERM ended the run early.
    interrupted: bool
    #: Why the best policy could not be filmed; empty if it was, or was not to be.
    no_video: str = ""

    def __str__(self) -> str:
        """Return the scores and where everything is."""
        lines = [f"trained for {self.steps:,} steps"]
        if self.selection is not None:
            lines.append(f"best policy   at step {self.best_step:,}: {self.selection} (the evaluation that chose it)")
        if self.final is not None:
            lines.append(f"final score   {self.final}, fresh ones")
        if self.video is not None:
            lines.append(f"video         {self.video}")
        if self.no_video:
            lines.append(f"no video: {self.no_video}")
        if self.tensorboard is not None:
            lines.append(f"TensorBoard   tensorboard --logdir {self.tensorboard}")
        return "\n".join([*lines, f"run           {self.run}"])

    __repr__ = __str__

    def _ipython_display_(self) -> None:
        """Show the result at the end of a cell, unless the cell has printed it already."""
        if not was_printed_here(self):
            print(self)


def finish(
    run: Run, config: RunConfig, progress: Progress, *, interrupted: bool, final_episodes: int
) -> TrainingResult:
    """Score the best policy of a run on fresh episodes and film it, unless the user is in a hurry."""
    final, video, no_video = None, None, ""
    if progress.best is not None and config.save_best and not interrupted:
        try:
            if final_episodes:
                final = run.evaluate(final_episodes)
                run.save_scores("best", final=final.as_dict())
            if config.record_best:
                video, no_video = _film(run)
        except KeyboardInterrupt:
            interrupted = True
    tensorboard = run.tensorboard_folder if config.logger.save_tensorboard else None
    if tensorboard is not None and not interrupted:
        scores = _means({"score/selection": progress.best_score, "score/final": final})
        add_run(tensorboard, flatten(dataclasses.asdict(config)), scores, video, progress.steps)
    best_step, selection = progress.best or (0, None)
    outcome = (best_step, selection, final, video, tensorboard, interrupted, no_video)
    return TrainingResult(run.path, progress.steps, *outcome)


def told_by_first(path: Path, progress: Progress, *, interrupted: bool) -> TrainingResult:
    """Return what a rank other than the first knows of the end of the run in the folder `path`."""
    return TrainingResult(path, progress.steps, progress.steps, None, None, None, None, interrupted)


def say_ways_on(run: Run, algorithm: AlgorithmClass, made_of: Sequence[type], *, has_best: bool) -> None:
    """Say how to go on with a run that was ended early, and how its policy is scored and filmed."""
    which = "best" if has_best else "latest"
    ways = ways_on(run.path, run.config.algo, algorithm, which, made_of)
    say("\n  ".join(["stopped early; to go on, to score or to film the policy:", *ways]))


def _means(scores: dict[str, Evaluation | None]) -> dict[str, float]:
    return {name: one.mean for name, one in scores.items() if one is not None}


def _film(run: Run) -> tuple[Path | None, str]:
    """Film the best policy; return the film, or why there is none, which is no reason for a run to fail."""
    try:
        return run.record(), ""
    except (Exception, SystemExit) as error:  # whatever environments do when they are to draw themselves
        kind = "" if isinstance(error, WorkspaceRLError) else f"{type(error).__name__}: "
        return None, f"{kind}{error}"
