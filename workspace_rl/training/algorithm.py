"""The base class of algorithms: it builds them from a configuration, and puts the parts of their loop together."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from omegaconf import DictConfig
from torch import Tensor

from workspace_rl.algorithm.contract import require_actions, require_policies
from workspace_rl.algorithm.definition import AlgorithmDefinition, Config
from workspace_rl.algorithm.names import resolve_run_config
from workspace_rl.basics.seeding import TRAINING, RandomState
from workspace_rl.config.make_env_agent import make_env_agent
from workspace_rl.config.sources import read_config
from workspace_rl.envs.facts import warn_of_memory
from workspace_rl.errors import ConfigError, RunFolderError
from workspace_rl.evaluation import Evaluation
from workspace_rl.inspection.diagrams import diagram_of
from workspace_rl.inspection.problems import check_before_training
from workspace_rl.learning.compiled.update import WORTH_COMPILING
from workspace_rl.learning.learner import Learner
from workspace_rl.learning.precision import choose_matmul_precision, layer_shapes
from workspace_rl.learning.state.module_state import require_created
from workspace_rl.machine.devices import torch_device
from workspace_rl.machine.files import back_home, working_directory
from workspace_rl.machine.interrupts import StopRequest
from workspace_rl.machine.threads import torch_threads
from workspace_rl.messages.notebook import note_printed, shown_video
from workspace_rl.messages.printing import say
from workspace_rl.policies.saving import check_savable
from workspace_rl.policies.spaces import spaces_of
from workspace_rl.runs.checkpoints import Checkpoint
from workspace_rl.runs.folder import COMPOSITION
from workspace_rl.runs.logger import Logger
from workspace_rl.runs.run import Run
from workspace_rl.training.checkpointing import Checkpointing, TrainingState
from workspace_rl.training.finishing import TrainingResult, finish, say_ways_on
from workspace_rl.training.logs import Logs
from workspace_rl.training.loop import Loop, Pace
from workspace_rl.training.progress import Progress
from workspace_rl.training.resuming import conditions, newest_checkpoint
from workspace_rl.training.scoring import Scoring
from workspace_rl.training.selection import Selection
from workspace_rl.workspace import Workspace


class Algorithm(AlgorithmDefinition[Config]):
    """An algorithm that can be trained: `MyAlgorithm(config).train()`.

    What a subclass writes is in `AlgorithmDefinition`. Here its parts are put together, in `loop`.
    """

    def __init__(self, config: str | Path | Mapping[str, Any] | DictConfig, overrides: Sequence[str] = ()) -> None:
        """Check the configuration, build the environments and the agents. Nothing is written yet.

        Args:
            config: a dictionary, a YAML file, or the name of a configuration that comes with the library, such as
                "sac/pendulum".
            overrides: `["algorithm.seed=2", ...]`, as behind a configuration in the command line.

        Raises:
            ConfigError: the configuration has an unknown key, a wrong type or an impossible value.
            UnknownEnvironmentError, MissingDependencyError: the environment cannot be made.
            UnsupportedSpaceError: the algorithm cannot handle the environment's spaces.
            CompositionError: a class of your own lacks what the loop needs of it.
        """
        # Where the program is, and where environments have gone to while they were made.
        self._home = self._away = working_directory()
        self.config: Config = resolve_run_config(type(self), read_config(config, overrides))  # type: ignore[assignment]
        self.parameters = self.config.algorithm  # type: ignore[attr-defined]
        if self.config.gym_env.single_instance and self.parameters.n_envs != 1:
            raise ConfigError(
                f"algorithm.n_envs: 1 expected with gym_env.single_instance, {self.parameters.n_envs} found."
            )
        self.total_steps = self.parameters.run_length
        self.device = torch_device(self.config.device)
        self.random_state = RandomState(self.parameters.seed, TRAINING)
        self.progress = Progress.of(self.parameters, log=self.first_log)
        self.run: Run | None = None
        self._checkpoint: Checkpoint | None = None
        self._trained = False
        with self.random_state, torch_threads(self.config.torch_threads), contextlib.ExitStack() as if_it_fails:
            self.train_env = make_env_agent(
                self.config.gym_env,
                self.parameters.n_envs,
                auto_reset=True,
                seed=self.parameters.seed,
                device=self.device,
            )
            if_it_fails.callback(self.train_env.close)
            self._away = working_directory()
            self._build()
            if_it_fails.pop_all()

    def _build(self) -> None:
        """Build the agents, and what learns and scores them."""
        warn_of_memory(self.train_env.facts(), self.train_env.label)
        require_actions(type(self), self.train_env, self.config.gym_env.env_name)
        self.build()
        require_policies(self)
        for name, module in self.members(torch.nn.Module).items():
            require_created(module, name)
        check_savable(self.eval_policy)
        self.eval_policy.policy_spaces = spaces_of(self.train_env)
        # What is chosen here is kept in the run's configuration.
        self.config.matmul_precision = self._chosen_precision()
        if self.config.compile == "auto":
            self.config.compile = self.planned_updates() >= WORTH_COMPILING
        self.learner = Learner(
            self._update,
            flags=self.update_flags,
            modules=functools.partial(self.members, torch.nn.Module),
            optimizers=self.optimizers(),
            device=self.device,
            compiled=bool(self.config.compile),
            precision=self.config.precision,
            matmul_precision=self.config.matmul_precision,
        )
        self.scoring = Scoring(
            self.config.gym_env,
            self.parameters,
            self.device,
            threads=self.config.torch_threads,
            close_training=self.train_env.close,
        )

    def _chosen_precision(self) -> str:
        if self.config.matmul_precision != "auto":
            return self.config.matmul_precision
        modules = self.members(torch.nn.Module).values()
        return choose_matmul_precision(layer_shapes(modules, self.batch_size), self.device)

    def _update(self, batch: Workspace, **flags: Any) -> dict[str, Tensor]:
        # Looked up at each update: it may be replaced on the object.
        return self.update(batch, **flags)

    # ---- training -------------------------------------------------------------------------------------------------

    def learn(self, batch: Workspace) -> dict[str, Tensor]:
        """Do the next update, compiled if the run is configured so; return metrics, scalar tensors."""
        return self.learner.learn(batch)

    @property
    def n_updates(self) -> int:
        """Updates so far."""
        return self.learner.n_updates

    @property
    def steps(self) -> int:
        """Environment steps so far."""
        return self.progress.steps

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
        if progress:
            say(result)
            note_printed(result)
        return result

    def _train(self, show: bool) -> TrainingResult:
        began = time.monotonic()
        try:
            traced = check_before_training(self)
            if self.run is None:
                self.run = Run.create(self.config)
                self.run.trust(self._own_classes())
                diagram_of(traced).save(self.run.path / COMPOSITION)
            self._trained = True
            with StopRequest() as stop:
                checkpoint, self._checkpoint = self._checkpoint, None
                if checkpoint is not None:
                    self.run.put_back(checkpoint.copies)
                loop = self.loop(self.run, resumed_at=None if checkpoint is None else checkpoint.step, show=show)
                with self.random_state, torch_threads(self.config.torch_threads):
                    loop.run(stop, checkpoint)
                self._close_environments()
                return self._finish(self.run, interrupted=stop.requested, show=show)
        finally:
            self._close_environments()
            if self.run is not None:
                with contextlib.suppress(RunFolderError):  # what ended the run says so, too
                    self.run.add_wall_time(time.monotonic() - began)
                self.run.unlock()

    def loop(self, run: Run, *, resumed_at: int | None = None, show: bool = False) -> Loop:
        """Return the loop that trains into the folder `run`: its parts, put together.

        Args:
            run: the folder.
            resumed_at: the step of the checkpoint that it goes on from, if it does.
            show: whether to show a progress bar.
        """
        config, parameters, progress = self.config, self.parameters, self.progress
        experience = self.make_experience()
        tensorboard = run.tensorboard_folder if config.logger.save_tensorboard else None
        logger = Logger(run.path / "metrics.csv", tensorboard, verbose=config.logger.verbose, resumed_at=resumed_at)
        returns_file = run.path / "eval_returns.csv" if config.collect_stats else None
        return Loop(
            Pace.of(config, parameters, random_steps=self.random_steps),
            progress,
            collector=self.make_collector(),
            experience=experience,
            learn=self.learn,
            learner=self.learner,
            policy=self.policy,
            schedules=self.schedules,
            evaluate=self.evaluate,
            scoring=self.scoring,
            selection=Selection(run, self.eval_policy, progress, save_best=config.save_best),
            logs=Logs(logger, self.total_steps, progress, returns_file=returns_file, show=show),
            checkpoints=Checkpointing(
                run,
                self._state(),
                experience,
                progress,
                interval=parameters.checkpoint_interval,
                conditions=conditions(config, self.device),
            ),
        )

    def _state(self) -> TrainingState:
        return TrainingState(self.parts, self.random_state, self.learner, self.progress)

    def _close_environments(self) -> None:
        with contextlib.ExitStack() as both:
            both.callback(self.scoring.close)
            both.callback(self.train_env.close)

    def _finish(self, run: Run, *, interrupted: bool, show: bool) -> TrainingResult:
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
        run.lock()
        with contextlib.ExitStack() as if_it_fails:
            if_it_fails.callback(run.unlock)
            algorithm = cls.__new__(cls)
            algorithm.has_checkpoint = bool(run.checkpoints.steps())
            algorithm.__init__(run.resumed_config(overrides))  # type: ignore[misc]
            if_it_fails.callback(algorithm._close_environments)
            algorithm._take_up(run)
            if_it_fails.pop_all()
        return algorithm

    def _take_up(self, run: Run) -> None:
        self.run, run.config = run, self.config
        run.trust(self._own_classes())
        interval = self.parameters.checkpoint_interval
        self._checkpoint = newest_checkpoint(run, self.config, self.device, interval)
        if self._checkpoint is not None:
            self._state().load(self._checkpoint)
            run.save_config()

    # ---- scoring and filming --------------------------------------------------------------------------------------

    def evaluate(self) -> Evaluation:
        """Score the current policy: one whole episode in each of `nb_evals` environments, the same seeds every time.

        With `gym_env.single_instance` all of them in one, and the environment of training is closed meanwhile: its
        running episode ends.

        Raises:
            ConfigError: `nb_evals` is 0.
        """
        return self.scoring(self.eval_policy)

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
