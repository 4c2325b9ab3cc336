"""The policies that a run keeps: the latest, the best so far, and some on the way."""

from __future__ import annotations

from dataclasses import dataclass

from workspace_rl.agent import Agent
from workspace_rl.evaluation import Evaluation
from workspace_rl.policies import save_policy
from workspace_rl.runs.folder import kept_at
from workspace_rl.runs.run import Run
from workspace_rl.training.parts.progress import Progress


@dataclass(frozen=True)
class Candidate:
    """A policy as it was at a step."""

    policy: Agent
    step: int


class Selection:
    """Keeps the latest policy, the best one, and those of some steps in the folder of a run, each with its score."""

    def __init__(self, run: Run, policy: Agent, progress: Progress, *, save_best: bool) -> None:
        """Keep policies, of which `policy` is the newest; `progress` knows which one was the best."""
        self._run, self._policy, self._progress, self._save_best = run, policy, progress, save_best

    def now(self) -> Candidate:
        """Return the policy as it is now, which changes as the run goes on."""
        return Candidate(self._policy, self._progress.steps)

    def consider(self, candidate: Candidate, evaluation: Evaluation) -> None:
        """Keep a policy, which has this score, as the latest, and as the best if it is."""
        self._progress.evaluated_at = candidate.step
        self.keep_latest(candidate, evaluation)
        if evaluation.better_than(self._progress.best_score):
            self.keep_best(candidate, evaluation)
        if (self._run.path / kept_at(candidate.step)).is_dir():
            self._save_scores(kept_at(candidate.step), candidate, evaluation)

    def keep_best(self, candidate: Candidate, evaluation: Evaluation | None) -> None:
        """Keep a policy as the best, with the score that chose it if it has one."""
        self._progress.best = (candidate.step, evaluation)
        if self._save_best:
            save_policy(candidate.policy, self._run.path / "best")
            self._run.film("best").unlink(missing_ok=True)  # that of an older one
            self._save_scores("best", candidate, evaluation)

    def keep_latest(self, candidate: Candidate, evaluation: Evaluation | None) -> None:
        """Keep a policy as the latest, with its score if it has one."""
        save_policy(candidate.policy, self._run.path / "latest")
        self._save_scores("latest", candidate, evaluation)

    def keep_step(self, candidate: Candidate) -> None:
        """Keep a policy whatever comes after it; its score is added if it gets one."""
        which = kept_at(candidate.step)
        save_policy(candidate.policy, self._run.path / which)
        self._save_scores(which, candidate, None)

    def _save_scores(self, which: str, candidate: Candidate, evaluation: Evaluation | None) -> None:
        selection = evaluation and evaluation.as_dict()
        self._run.save_scores(which, step=candidate.step, selection=selection, final=None)
