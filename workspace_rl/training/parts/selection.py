"""The policies that a run keeps: the latest, and the best so far."""

from __future__ import annotations

from workspace_rl.agent import Agent
from workspace_rl.evaluation import Evaluation
from workspace_rl.policies import save_policy
from workspace_rl.runs.folder import Which
from workspace_rl.runs.run import Run
from workspace_rl.training.parts.progress import Progress


class Selection:
    """Keeps the latest policy and the best one in the folder of a run, each with its score."""

    def __init__(self, run: Run, policy: Agent, progress: Progress, *, save_best: bool) -> None:
        """Keep `policy` as it is whenever it is scored; `progress` knows which one was the best."""
        self._run, self._policy, self._progress, self._save_best = run, policy, progress, save_best

    def consider(self, evaluation: Evaluation) -> None:
        """Keep the policy, which has this score, as the latest, and as the best if it is."""
        self._progress.evaluated_at = self._progress.steps
        self.keep_latest(evaluation)
        if evaluation.better_than(self._progress.best_score):
            self.keep_best(evaluation)

    def keep_best(self, evaluation: Evaluation | None) -> None:
        """Keep the policy as the best, with the score that chose it if it has one."""
        self._progress.best = (self._progress.steps, evaluation)
        if self._save_best:
            save_policy(self._policy, self._run.path / "best")
            self._run.film("best").unlink(missing_ok=True)  # that of an older one
            self._save_scores("best", evaluation)

    def keep_latest(self, evaluation: Evaluation | None) -> None:
        """Keep the policy as the latest, with its score if it has one."""
        save_policy(self._policy, self._run.path / "latest")
        self._save_scores("latest", evaluation)

    def _save_scores(self, which: Which, evaluation: Evaluation | None) -> None:
        selection = evaluation and evaluation.as_dict()
        self._run.save_scores(which, step=self._progress.steps, selection=selection, final=None)
