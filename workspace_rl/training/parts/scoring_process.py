"""Scoring and filming in a process of their own, while training goes on."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workspace_rl.agent import Agent
from workspace_rl.envs.known_elsewhere import KnownEnvironment
from workspace_rl.errors import WorkerDiedError, WorkerError, WorkerSilentError
from workspace_rl.evaluation import Evaluation
from workspace_rl.films.playing import Playing
from workspace_rl.machine.worker_process import WorkerProcess, sendable, wait_for
from workspace_rl.training.parts.scoring import Scoring

#: How often one and the same policy is tried to be scored in processes that end or hang.
TRIES = 3
#: Seconds that the process gets to begin, which imports what it needs, besides what environments may take.
PATIENCE = 120.0
#: Seconds between two looks whether it is there while its answer is waited for.
_LOOK = 0.5
NAME = "the process that scores policies"


class ScoringProcess:
    """Scores and films policies in a process of its own: an `Evaluator`, and what plays for a run's final score.

    A process that ends or hangs is replaced, and does the same again, with the same seeds.
    """

    def __init__(self, scoring: Scoring, playing: Playing, policy: Agent) -> None:
        """Score as `scoring` does here, and play as `playing` does; nothing is started before it is needed.

        Raises:
            WorkerError: `policy` cannot be sent to another process.
        """
        sendable(policy, "the policy")
        config = playing.env_config
        known = KnownEnvironment.of(config.env_name, config.wrappers)
        self._scoring, self._timeout = scoring, config.timeout
        self._worker = WorkerProcess(functools.partial(_AtWork, known, scoring.elsewhere(), playing), NAME)
        self._asked: tuple[Any, ...] = ()
        self._failures = 0
        self._anew = False

    @property
    def took_over(self) -> bool:
        """Whether only one environment may be open: then episodes of training end as they do without this process."""
        return self._scoring.took_over

    def ask(self, policy: Agent) -> Agent:
        """Send a copy of `policy` to be scored, and return it."""
        policy = policy.clone()
        self._ask("score", policy, self._anew)
        self._anew = False
        self._scoring.took_over |= self._scoring.single
        return policy

    def answer(self, *, wait: bool) -> Evaluation | None:
        """Return the score that was asked for, None if it is not there; with `wait`, it is waited for.

        Raises:
            WorkerError: the process has ended, or was not heard of for `gym_env.timeout` seconds, several times.
            Stopped: ctrl-C has asked for the end.
        """
        while True:
            try:
                if self._worker.poll():
                    evaluation: Evaluation = self._worker.result()
                    return evaluation
                self._require_heard()
            except (WorkerDiedError, WorkerSilentError) as error:
                self._try_again(error)
            if not wait:
                return None
            wait_for([self._worker], _LOOK)

    def last_answer(self) -> Evaluation | None:
        """Return the score that was asked for if it is there."""
        return self._worker.result() if self._worker.poll() else None

    def renew(self) -> None:
        """Score in new environments from now on."""
        self._scoring.took_over = False
        self._anew = True

    def evaluate(self, policy: Agent, n_episodes: int) -> Evaluation:
        """Score a policy on fresh episodes, as `Playing` does."""
        self._ask("evaluate", policy, n_episodes)
        evaluation = self.answer(wait=True)
        assert evaluation is not None
        return evaluation

    def record(self, policy: Agent, n_episodes: int, path: Path) -> Path:
        """Film a policy, as `Playing` does."""
        self._ask("record", policy, n_episodes, path)
        self.answer(wait=True)
        return path

    def close(self) -> None:
        """End the process; what it does is left undone."""
        self._worker.close()

    def _ask(self, *asked: Any) -> None:
        if self._worker.pid is None:
            self._worker.start()
        self._asked, self._failures = asked, 0
        self._worker.call(*asked)

    def _require_heard(self) -> None:
        """Raise a `WorkerSilentError` if the process has said nothing for longer than a step may take."""
        if self._timeout is None:
            return
        limit = self._timeout if self._worker.has_begun else self._timeout + PATIENCE
        if self._worker.silent_for > limit:
            raise WorkerSilentError(
                f"{NAME} was not heard of for {limit:g} seconds: an environment hangs. If a step of it, or a reset, "
                "may take that long, give it more time: gym_env.timeout, in seconds, null for no limit."
            )

    def _try_again(self, error: WorkerError) -> None:
        self._failures += 1
        if self._failures == TRIES:
            raise WorkerError(
                f"{error} That was attempt {TRIES} of {TRIES} with one policy and the same seeds. What the environment "
                "does shows where it is scored in the training process: evaluation_worker=false."
            ) from error
        warnings.warn(f"{error} Another one is started, and does the same again.", stacklevel=2)
        self._worker.restart()
        self._worker.call(*self._asked)


class _AtWork:
    """What lives in that process."""

    def __init__(self, known: KnownEnvironment, scoring: Callable[[], Scoring], playing: Playing) -> None:
        known.make_known()
        self._scoring, self._playing = scoring(), playing

    def score(self, policy: Agent, anew: bool) -> Evaluation:
        if anew:
            self._scoring.close()
        return self._scoring(policy)

    def evaluate(self, policy: Agent, n_episodes: int) -> Evaluation:
        self._scoring.close()
        return self._playing.evaluate(policy, n_episodes)

    def record(self, policy: Agent, n_episodes: int, path: Path) -> Path:
        self._scoring.close()
        return self._playing.record(policy, n_episodes, path)

    def close(self) -> None:
        self._scoring.close()
