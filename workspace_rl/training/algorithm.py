"""The base class of algorithms: training one into a run folder, and going on from there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from workspace_rl.algorithm.definition import Config
from workspace_rl.basics.seeding import TRAINING, RandomState
from workspace_rl.errors import RunFolderError
from workspace_rl.inspection.diagrams import diagram_of
from workspace_rl.inspection.problems import check_before_training
from workspace_rl.inspection.tracing.trace import Trace
from workspace_rl.machine.files import absolute, back_home, working_directory
from workspace_rl.machine.interrupts import StopRequest
from workspace_rl.machine.threads import torch_threads
from workspace_rl.messages.notebook import note_printed, shown_video
from workspace_rl.messages.printing import say
from workspace_rl.ranks import ranks_of_this_program
from workspace_rl.runs.checkpoints import Checkpoint
from workspace_rl.runs.folder import COMPOSITION
from workspace_rl.runs.run import Run
from workspace_rl.training.building import BuiltAlgorithm
from workspace_rl.training.finishing import TrainingResult, finish, say_ways_on, told_by_first
from workspace_rl.training.parts.evaluations import Evaluator, Here
from workspace_rl.training.rank_run import RankRun
from workspace_rl.training.recipe import put_together
from workspace_rl.training.resuming import newest_checkpoint, rank_of


class Algorithm(BuiltAlgorithm[Config]):
    """An algorithm that can be trained: `MyAlgorithm(config).train()`.

    What a subclass writes is in `AlgorithmDefinition`; its loop is `training.loop`, put together in `training.recipe`.
    """

    #: The folder that it trains into, once there is one.
    run: Run | None = None
    _checkpoint: Checkpoint | None = None
    _trained = False

    def train(self, *, progress: bool = True) -> TrainingResult:
        """Train as configured, into a new run folder or on from where `restore` found a run.

        Ctrl-C, or SIGTERM, ends early after the current step or update, also while policies are scored or filmed, and
        keeps policies and measurements; `restore` goes on from the last checkpoint.

        Args:
            progress: show a progress bar and print the result.

        Raises:
            RunFolderError: the run's folder exists already or cannot be written.
            CompositionError: what the algorithm is composed of does not fit together.
            NonFiniteError: a loss, gradient or weight has become NaN or infinite.
        """
        if self._trained:
            raise RunFolderError(f"this object has trained already, into {self.config.base_dir}. Create a new one.")
        with back_home(self._home if working_directory() == self._away else None):
            result = self._train(progress)
        if progress and self.ranks.first:
            say(result)
            note_printed(result)
        return result

    def _train(self, show: bool) -> TrainingResult:
        with contextlib.ExitStack() as at_last:
            at_last.callback(self._leave, time.monotonic())
            # Closed before the best policy is scored and filmed: of some there may be only one.
            with contextlib.ExitStack() as environments:
                environments.callback(self._close_environments)
                environments.enter_context(self.ranks)
                experience, collectors = self.make_parts()
                environments.callback(collectors.close)
                traced = check_before_training(self)
                collectors.start()
                run = self._enter(traced)
                stop = at_last.enter_context(StopRequest())
                checkpoint, self._checkpoint = self._checkpoint, None
                if checkpoint is not None:
                    run.put_back(checkpoint.copies, checkpoint.step)
                resumed_at = None if checkpoint is None else checkpoint.step
                shown = show and self.ranks.first
                evaluator = at_last.enter_context(self._evaluator(run))
                loop = put_together(self, run, experience, collectors, evaluator, resumed_at=resumed_at, show=shown)
                with self.random_state, torch_threads(self.config.torch_threads):
                    loop.run(stop, checkpoint)
            return self._finish(run, interrupted=stop.requested, show=show)

    @contextlib.contextmanager
    def _evaluator(self, run: Run) -> Iterator[Evaluator]:
        """Yield what scores policies on the way; what scores and films the best one at the end is in the same place."""
        if not (self.config.evaluation_worker and self.ranks.first):
            yield Here(self.evaluate, self.scoring)
            return
        with contextlib.closing(self.scoring_process(run.playing())) as elsewhere:
            run.player = elsewhere
            try:
                yield elsewhere
            finally:
                run.player = None

    def _enter(self, traced: Trace) -> Run:
        """Return the run's folder, a new one unless the run goes on."""
        if self.run is None:
            self.config.base_dir, *_ = self.ranks.gather(self.config.base_dir)
            self.run = Run.create(self.config) if self.ranks.first else self._run_of_rank()
            self.run.trust(self._own_classes())
            diagram_of(traced).save(self.run.path / COMPOSITION)
        self._trained = True
        return self.run

    def _run_of_rank(self) -> RankRun:
        return RankRun(absolute(self.config.base_dir), self.config, self.ranks.rank)

    def _leave(self, began: float) -> None:
        if self.run is not None:
            with contextlib.suppress(RunFolderError):  # what ended the run says so, too
                self.run.add_wall_time(time.monotonic() - began)
            self.run.unlock()

    def _finish(self, run: Run, *, interrupted: bool, show: bool) -> TrainingResult:
        if not self.ranks.first:
            return told_by_first(absolute(self.config.base_dir), self.progress, interrupted=interrupted)
        result = finish(
            run, self.config, self.progress, interrupted=interrupted, final_episodes=self.parameters.final_episodes
        )
        if result.interrupted and show:
            has_best = self.progress.best is not None and self.config.save_best
            say_ways_on(run, type(self), self._own_classes(), has_best=has_best)
        return result

    def _own_classes(self) -> list[type]:
        """Return the classes that the run's policies are built from: they are trusted, since they run already."""
        return [type(module) for module in self.eval_policy.modules()]

    @classmethod
    def restore(cls, path: str | Path, overrides: Sequence[str] = ()) -> Self:
        """Return the algorithm as it stood at the last checkpoint of a run; `train()` goes on from there.

        The run then ends exactly as if it had never been stopped. If it was stopped before its first checkpoint, it
        starts again. A complete run that becomes longer begins new episodes where it ended; it ends as if it had been
        as long from the beginning if a checkpoint was due there. The folder is locked until `train` has ended, or this
        process.

        Args:
            path: the folder of a run that is not complete, or shall become longer.
            overrides: `["algorithm.total_steps=200000"]`; only of what does not change the run's course.

        Raises:
            RunFolderError: the folder holds no run, another process is training in it, or it keeps no checkpoints.
            ConfigError: the configuration is invalid, is not that of the checkpoint, or was made by another class.
            CheckpointError: all checkpoints are damaged.
        """
        run = Run(path, made_by=cls)
        with contextlib.ExitStack() as if_it_fails:
            if ranks_of_this_program().first:
                run.lock()
                if_it_fails.callback(run.unlock)
            algorithm = cls.__new__(cls)
            algorithm.has_checkpoint = bool(run.checkpoints.steps())
            algorithm.__init__(run.resumed_config(overrides))  # type: ignore[misc]
            if_it_fails.callback(algorithm._close_environments)
            if_it_fails.enter_context(algorithm.ranks)
            algorithm._take_up(run)
            if_it_fails.pop_all()
        return algorithm

    def _take_up(self, run: Run) -> None:
        run.config = self.config
        self.run = run = run if self.ranks.first else self._run_of_rank()
        run.trust(self._own_classes())
        interval = self.parameters.checkpoint_interval
        self._checkpoint = newest_checkpoint(run, self.config, self.device, interval, self.ranks)
        if self._checkpoint is None:
            return
        self.training_state().load(self._checkpoint)
        if rank_of(self._checkpoint)[1] != self.ranks.rank:  # two ranks would draw the same
            seed = self.ranks.seed(self.parameters.seed)
            self.random_state = RandomState(seed, TRAINING, self._checkpoint.step)
        if self.ranks.first:
            run.save_config()

    def visualize_best(self) -> Any:
        """Return a film of the best policy: something that a notebook shows, the file's path elsewhere.

        Raises:
            RunFolderError: nothing has been trained yet.
            PolicyFileError: no best policy was kept (`save_best` is false, or no evaluation took place).
            RenderingError: the environment cannot draw itself.
        """
        if self.run is None:
            raise RunFolderError("there is no best policy yet: call train() first.")
        path = self.run.film("best")
        if not path.is_file():
            path = self.run.record()
        return shown_video(path)
