"""The loop that all algorithms share: collect, learn, log, score, save."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from torch import Tensor

from workspace_rl.agent import Agent
from workspace_rl.collectors.driver import Collectors
from workspace_rl.config import RunConfig, TrainingConfig
from workspace_rl.errors import DivergedError, WorkspaceRLError
from workspace_rl.experience.experience import Experience
from workspace_rl.learning.learner import Learner
from workspace_rl.learning.metrics import ROW_ERRORS
from workspace_rl.machine.interrupts import Stopped, StopRequest, stop_if_requested
from workspace_rl.ranks import Alone
from workspace_rl.runs.checkpoints import Checkpoint
from workspace_rl.training.parts.checkpointing import Checkpointing
from workspace_rl.training.parts.divergence import explain
from workspace_rl.training.parts.evaluations import Evaluations
from workspace_rl.training.parts.logs import Logs
from workspace_rl.training.parts.progress import Progress, next_multiple
from workspace_rl.training.parts.selection import Selection
from workspace_rl.training.parts.statistics import CollectedStatistics
from workspace_rl.workspace import Workspace


@dataclass
class Pace:
    """How long the loop goes on, and how often it does what. Steps are summed over environments."""

    total_steps: int
    log_interval: int
    eval_interval: int
    #: Whether policies are scored at all.
    scores: bool
    #: Steps between two policies that are kept.
    policy_interval: int | None = None

    @classmethod
    def of(cls, config: RunConfig, parameters: TrainingConfig, ranks: Alone) -> Self:
        """Return the pace that a configuration asks for; of several ranks the first one alone scores."""
        return cls(
            total_steps=parameters.run_length,
            log_interval=config.logger.log_interval,
            eval_interval=parameters.eval_interval,
            scores=parameters.nb_evals > 0 and ranks.first,
            policy_interval=parameters.save_policy_every,
        )


@dataclass
class Loop:
    """Collects and learns; in between it logs, scores the policy and writes checkpoints.

    The parts know nothing of the loop, and of each other what they are given here.
    """

    pace: Pace
    progress: Progress
    collectors: Collectors
    experience: Experience
    #: Count the frames that are collected.
    statistics: CollectedStatistics
    #: Does an update on a batch, and returns its metrics: the learner, unless somebody has replaced that.
    learn: Callable[[Workspace], dict[str, Tensor]]
    learner: Learner
    #: Whose weights collectors act with.
    policy: Agent
    #: Does what is due before the updates that follow a collection, by the steps so far.
    begin_updates: Callable[[int], None]
    #: Whether what an update has measured says that the fragments' other batches are to be left out.
    enough: Callable[[dict[str, Tensor]], bool]
    #: What changes with the number of steps alone, to be logged.
    schedules: Callable[[int], dict[str, float]]
    evaluations: Evaluations
    selection: Selection
    logs: Logs
    checkpoints: Checkpointing
    #: Those that learn together, each by a loop of its own.
    ranks: Alone = field(default_factory=Alone)

    def run(self, stop: StopRequest, checkpoint: Checkpoint | None = None) -> None:
        """Go on up to `total_steps`, or until `stop` is requested; nothing that was learned or measured is lost.

        Args:
            stop: listens for ctrl-C.
            checkpoint: holds the experience so far of a run that goes on.
        """
        try:
            with self.ranks.turns(stop):
                self._begin(checkpoint)
                while self.progress.steps < self.pace.total_steps and not stop.requested:
                    self._learn(self._collect())
                    self._log()
                    self._keep()
                    self._score()
                    self._save()
                if not stop.requested:
                    self._end()
        except Stopped:
            pass  # what was being collected or scored is left undone
        except WorkspaceRLError as error:
            raise self._explained(error)  # noqa: B904 - it is the error itself, or has it as its cause
        finally:
            with contextlib.ExitStack() as last:
                last.callback(self._keep_latest)
                last.callback(self.logs.close)
                last.callback(self.logs.flush)
                last.callback(self.evaluations.give_up)

    def _begin(self, checkpoint: Checkpoint | None) -> None:
        self.ranks.check_equal(self.learner.weights, "at the beginning")
        if checkpoint is not None:
            self.experience.restore(checkpoint.state["buffer"], checkpoint.rows())
        if checkpoint is not None or self.evaluations.took_over:
            self._renew(resumed=True)

    def _collect(self) -> int:
        """Put what has been collected into the experience; return how many fragments that were."""
        fragments = self.collectors.collect(self.progress.steps)
        for fragment in fragments:
            self.experience.put(fragment)
            self.statistics.put(fragment)
        self.progress.steps += self.ranks.total(sum(one.n_transitions for one in fragments))
        for fragment in fragments:
            self.logs.fragment(fragment)
        return len(fragments)

    def _learn(self, n_fragments: int) -> None:
        self.statistics.merge(before_updates=True)
        ready = self.ranks.all(self.experience.ready(self.progress.steps))
        if ready:
            self.begin_updates(self.progress.steps)
        for _ in range(max(1, n_fragments) if ready else 0):
            for batch in self.experience.batches():
                stop_if_requested()
                metrics = self.learn(batch)
                errors = metrics.pop(ROW_ERRORS, None)
                if errors is not None:
                    self.experience.learned(errors)
                self.logs.update(metrics)
                self.progress.n_updates = self.learner.n_updates
                if self.enough(metrics):
                    break
        if not (ready or self.statistics):
            return
        self.statistics.merge(before_updates=False)
        self.collectors.load_policy(self.policy, self.progress.n_updates)

    def _log(self) -> None:
        if self.progress.steps >= self.progress.due.log:
            self.evaluations.take_up(wait=False)
            self.logs.scalars(self.schedules(self.progress.steps))
            self._flush()

    def _keep(self) -> None:
        if self.progress.steps >= self.progress.due.policy:
            self.progress.due.policy = next_multiple(self.progress.steps, self.pace.policy_interval)
            self.learner.check()
            self.selection.keep_step(self.selection.now())

    def _score(self) -> None:
        if self.pace.scores and self.progress.steps >= self.progress.due.evaluation:
            self._evaluate()
            self.progress.due.evaluation = self.progress.steps + self.pace.eval_interval
            if self.evaluations.took_over:
                self.experience.end_episodes()
                self._renew()

    def _save(self) -> None:
        if self.progress.steps >= self.progress.due.checkpoint:
            self.progress.due.checkpoint = self.checkpoints.next()
            self._write_checkpoint()
            self._renew()

    def _end(self) -> None:
        self._take_up_score()
        if self.progress.steps > self.progress.evaluated_at:
            if self.pace.scores:
                self._evaluate()
            else:  # nothing chooses among policies
                self.selection.keep_best(self.selection.now(), None)
        self._write_checkpoint()

    def _renew(self, *, resumed: bool = False) -> None:
        """Begin new episodes in new environments: those of a resumed run are new, too."""
        self.collectors.renew(self.progress.steps, resumed=resumed)
        # Whatever acting has changed in the collectors' copies is not in the checkpoint.
        self.collectors.load_policy(self.policy, self.progress.n_updates)
        self.evaluations.renew()

    def _evaluate(self) -> None:
        self.learner.check()
        with self.ranks.apart():
            self.evaluations.ask()

    def _take_up_score(self) -> None:
        with self.ranks.apart():
            self.evaluations.take_up()

    def _keep_latest(self) -> None:
        if self.progress.steps > self.progress.evaluated_at:
            self.selection.keep_latest(self.selection.now(), None)

    def _write_checkpoint(self) -> None:
        self._take_up_score()
        if self.checkpoints.wanted:
            self._flush()
            self.checkpoints.save()

    def _flush(self) -> None:
        self.logs.experience(self.experience)
        self.logs.flush()
        self.learner.check()
        self.ranks.check_equal(self.learner.weights, f"after update {self.progress.n_updates:,}")
        self.progress.due.log = self.progress.steps + self.pace.log_interval

    def _explained(self, error: WorkspaceRLError) -> WorkspaceRLError:
        """Return what an error began with, which may have been an update that nobody waited for."""
        if not isinstance(error, DivergedError):
            try:
                self.learner.check_updates()
            except DivergedError as earlier:
                earlier.__cause__ = error
                error = earlier
        if isinstance(error, DivergedError):
            explain(error, self.progress.steps, self.checkpoints.run)
        return error
