"""Scores of the policy that is being trained: asked for, and taken up once they are there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol

from workspace_rl.agent import Agent
from workspace_rl.evaluation import Evaluation
from workspace_rl.training.parts.logs import Logs
from workspace_rl.training.parts.scoring import Scoring
from workspace_rl.training.parts.selection import Candidate, Selection


class Evaluator(Protocol):
    """Scores policies, one after the other, here or elsewhere."""

    @property
    def took_over(self) -> bool:
        """Whether the episodes of training end with a score, and new environments are needed."""

    def ask(self, policy: Agent) -> Agent:
        """Begin to score `policy` as it is now; return it, or a copy if it may change before that is done."""

    def answer(self, *, wait: bool) -> Evaluation | None:
        """Return the score that was asked for, None if it is not there; with `wait`, it is waited for.

        Raises:
            Stopped: ctrl-C has asked for the end.
        """

    def last_answer(self) -> Evaluation | None:
        """Return the score that was asked for if it is there; nothing else will be asked for."""

    def renew(self) -> None:
        """Score in new environments from now on."""


class Here:
    """Scores in this process: training waits."""

    def __init__(self, evaluate: Callable[[], Evaluation], scoring: Scoring) -> None:
        """Score the policy as it is now by `evaluate`, in the environments of `scoring`."""
        self._evaluate, self._scoring = evaluate, scoring
        self._evaluation: Evaluation | None = None

    @property
    def took_over(self) -> bool:
        """Whether the environment of training was closed, since only one may be open."""
        return self._scoring.took_over

    def ask(self, policy: Agent) -> Agent:
        """Score the policy."""
        self._evaluation = self._evaluate()
        return policy

    def answer(self, *, wait: bool) -> Evaluation | None:
        """Return the score."""
        return self._evaluation

    def last_answer(self) -> Evaluation | None:
        """Return the score."""
        return self._evaluation

    def renew(self) -> None:
        """Close the environments."""
        self._scoring.took_over = False
        self._scoring.close()


class Evaluations:
    """Has the policy scored while training goes on, and keeps it, as it was then, with its score.

    What is measured in between is written after the score: files are the same whenever that is there.
    """

    def __init__(self, evaluator: Evaluator, selection: Selection, logs: Logs) -> None:
        """Ask `evaluator`; `selection` keeps policies, `logs` writes their scores."""
        self._evaluator, self._selection, self._logs = evaluator, selection, logs
        self._asked: Candidate | None = None

    @property
    def took_over(self) -> bool:
        """Whether the episodes of training have ended with a score, and new environments are needed."""
        return self._evaluator.took_over

    def ask(self) -> None:
        """Ask for the score of the policy as it is now, once the one before is there."""
        self.take_up()
        self._logs.hold()
        now = self._selection.now()
        self._asked = Candidate(self._evaluator.ask(now.policy), now.step)
        self.take_up(wait=False)

    def take_up(self, *, wait: bool = True) -> None:
        """Take up the score that was asked for, if any; without `wait`, if it is there.

        Raises:
            Stopped: ctrl-C has asked for the end.
        """
        if self._asked is not None:
            self._keep(self._asked, self._evaluator.answer(wait=wait))

    def _keep(self, candidate: Candidate, evaluation: Evaluation | None) -> None:
        if evaluation is None:
            return
        self._asked = None
        self._logs.evaluation(evaluation, candidate.step)
        self._selection.consider(candidate, evaluation)
        self._logs.scored(evaluation, candidate.step)

    def give_up(self) -> None:
        """Take up the score that was asked for if it is there; otherwise, or if it fails, it is left undone."""
        try:
            if self._asked is not None:
                evaluation = None
                with contextlib.suppress(Exception):  # whatever environments raise
                    evaluation = self._evaluator.last_answer()
                self._keep(self._asked, evaluation)
        finally:
            self._asked = None
            self._logs.release()

    def renew(self) -> None:
        """Score in new environments from now on."""
        self._evaluator.renew()
