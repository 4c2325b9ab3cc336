"""The loop that all off-policy algorithms share: collect, store, update, log, evaluate, keep the best."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm.auto import tqdm

from workspace_rl.agent import Agent
from workspace_rl.algorithm.contract import require_declared, require_metrics, require_policies
from workspace_rl.algorithm.names import resolve_run_config
from workspace_rl.algorithm.own import ways_on
from workspace_rl.basics.seeding import (
    EVALUATION_EPISODES,
    RENEWAL,
    TRAINING,
    TRAINING_EPISODES,
    RandomState,
    episode_seeds,
)
from workspace_rl.config.make_env_agent import make_env_agent
from workspace_rl.config.run_config import RunConfig
from workspace_rl.config.schema import flatten
from workspace_rl.config.sources import read_config
from workspace_rl.config.training_config import OffPolicyConfig
from workspace_rl.envs.facts import warn_of_memory
from workspace_rl.errors import (
    CheckpointError,
    ConfigError,
    NonFiniteError,
    RunFolderError,
    UnsupportedSpaceError,
    WorkspaceRLError,
)
from workspace_rl.evaluation.evaluation import Evaluation, evaluate
from workspace_rl.experience.collector import Collector
from workspace_rl.experience.replay_buffer import ReplayBuffer
from workspace_rl.inspection.diagrams import diagram_of
from workspace_rl.inspection.problems import check_before_training
from workspace_rl.learning.compiled.update import WORTH_COMPILING, CompiledUpdate, compile_update
from workspace_rl.learning.module_state import require_created
from workspace_rl.learning.precision import choose_matmul_precision, layer_shapes, matmul_precision
from workspace_rl.learning.training_state import check_classes, classes_of, load_state, read_state
from workspace_rl.learning.watch import Steps, UpdateWatch, non_finite_tensors, save_batch
from workspace_rl.machine.devices import torch_device
from workspace_rl.machine.files import back_home, told_errors, working_directory
from workspace_rl.machine.interrupts import Stopped, StopRequest, stop_if_requested
from workspace_rl.machine.threads import torch_threads
from workspace_rl.messages.notebook import note_printed, shown_video, was_printed_here
from workspace_rl.messages.printing import say
from workspace_rl.policies.saving import check_savable, save_policy
from workspace_rl.policies.spaces import spaces_of
from workspace_rl.runs.checkpoints import Checkpoint
from workspace_rl.runs.logger import Logger
from workspace_rl.runs.other_machines import this_machine, what_changed
from workspace_rl.runs.run import COMPOSITION, Run
from workspace_rl.runs.tensorboard_run import add_run
from workspace_rl.workspace import Workspace

Config = TypeVar("Config", bound=RunConfig)
Member = TypeVar("Member")

#: What the watch's verdict, and what it rests on, are called among an update's metrics.
_FINITE, _STEPS = "workspace_rl/finite", "workspace_rl/steps"  # which no metric of the user's is called
#: Put before the names of the random generators' states in checkpoints.
_RANDOM = "random."
#: What there is for the actions of an environment.
_FOR_ACTIONS = {
    "continuous": "SAC, TD3 and DDPG are for continuous ones; {classname: DiscretizeAction, bins: 5} in "
    "gym_env.wrappers makes a few choices of them.",
    "discrete": "DQN is for discrete ones.",
    "multi-discrete": "DQN is for a single choice: number the combinations in a subclass of gymnasium.ActionWrapper, "
    "and name it in gym_env.wrappers.",
}


@dataclasses.dataclass(frozen=True)
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


class OffPolicyAlgorithm(ABC, Generic[Config]):
    """An algorithm that learns from a replay buffer.

    A subclass names its `config_class` and its `action_kind`, builds its agents in `build`, and learns in `update`.
    """

    config_class: ClassVar[type[RunConfig]]
    #: The actions it is for, "continuous" or "discrete" (see `GymAgent.action_kind`).
    action_kind: ClassVar[str]

    #: The agent that acts while training; it explores by itself.
    policy: Agent
    #: The agent that acts in the first `random_steps`.
    random_policy: Agent
    #: The agent that is evaluated and saved.
    eval_policy: Agent
    #: Whether weights are about to come from a checkpoint, so that `build` need not look for any to begin with.
    has_checkpoint: bool = False
    #: Whether `policy` and `random_policy` collect in evaluation mode. If not, each of their modules keeps the mode
    #: that `build` has left it in: dropout then explores.
    collects_in_evaluation_mode: ClassVar[bool] = True
    #: The variables that the replay buffer stores.
    stored_variables: Sequence[str] = ("env/env_obs", "action", "env/reward", "env/terminated")

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Create the object, if its class is complete."""
        require_declared(cls)
        return super().__new__(cls)

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
        self.parameters: OffPolicyConfig = self.config.algorithm  # type: ignore[attr-defined]
        if self.config.gym_env.single_instance and self.parameters.n_envs != 1:
            raise ConfigError(
                f"algorithm.n_envs: 1 expected with gym_env.single_instance, {self.parameters.n_envs} found."
            )
        self.total_steps = self.parameters.run_length
        self.device = torch_device(self.config.device)
        self.random_state = RandomState(self.parameters.seed, TRAINING)
        self.run: Run | None = None
        self._eval_env: Any = None
        #: Whether the environment of training was closed in favour of one of evaluation.
        self._yielded = False
        #: The step of the best policy, and its score where there was one.
        self._best: tuple[int, Evaluation | None] | None = None
        #: Environment steps, and updates, so far.
        self.steps = 0
        self.n_updates = 0
        self._evaluated_at = -1
        self._due = _Due(self.parameters.learning_starts, self.parameters.eval_interval, self._next_checkpoint())
        self._checkpoint: Checkpoint | None = None
        self._trained = False
        # On a device that is not waited for: the watch, the number of its first update, names of metrics by flags.
        self._watch: UpdateWatch | None = None
        self._watched_from = 0
        self._metric_names: dict[Any, list[str]] = {}
        with self.random_state, torch_threads(self.config.torch_threads), contextlib.ExitStack() as if_it_fails:
            seed, n_envs = self.parameters.seed, self.parameters.n_envs
            self.train_env = make_env_agent(self.config.gym_env, n_envs, auto_reset=True, seed=seed, device=self.device)
            if_it_fails.callback(self.train_env.close)
            self._away = working_directory()
            warn_of_memory(self.train_env.facts(), self.train_env.label)
            if self.train_env.action_kind != self.action_kind:
                raise UnsupportedSpaceError(
                    f"{type(self).__name__} needs {self.action_kind} actions, but {self.config.gym_env.env_name!r} has "
                    f"{self.train_env.action_space}. {_FOR_ACTIONS[self.train_env.action_kind]}"
                )
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
            self._compiled = self._compiled_update() if self.config.compile else None
            if_it_fails.pop_all()

    @abstractmethod
    def build(self) -> None:
        """Create the agents (on `self.device`) and the optimisers, and set the three policies."""

    @abstractmethod
    def update(self, *args: Any, **flags: Any) -> dict[str, Tensor]:
        """Learn: `update(batch, **flags)`; return metrics, scalar tensors.

        The batch is a workspace of windows, `[n_step_return + 1, batch_size, ...]`; `flags` are those of
        `update_flags`. This is what gets compiled: it does not ask for a tensor's value, and what it reads besides its
        arguments are tensors, or does not change.
        """

    def update_flags(self, n: int) -> dict[str, Any]:
        """Return the keyword arguments of the n-th update (from 1), for instance whether the actor is updated."""
        return {}

    def learn(self, batch: Workspace) -> dict[str, Tensor]:
        """Do the next update, compiled if the run is configured so; return metrics, scalar tensors."""
        self.n_updates += 1
        # For updates alone: products of a few rows, as in collecting, are quickest as they are.
        with matmul_precision(self.config.matmul_precision):
            if self._watch is None and self.device.type != "cpu":
                self._watch, self._watched_from = UpdateWatch(batch), self.n_updates
            flags = self.update_flags(self.n_updates)
            metrics = (self._compiled or self._watched_update)(batch, **flags)
        if self._watch is not None:
            self._metric_names[tuple(flags.items())] = list(metrics)
        else:
            finite, steps = metrics.pop(_FINITE), metrics.pop(_STEPS)
            if not finite:
                raise self._non_finite(self.n_updates, batch, metrics | Steps.bad(steps))
        return metrics

    def _watched_update(self, batch: Workspace, **flags: Any) -> dict[str, Tensor]:
        # Without a cache: weights change in between, and their copies in bfloat16 with them.
        coarse = self.config.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=coarse, cache_enabled=False):
            with Steps() as steps:
                metrics = self.update(batch, **flags)
        require_metrics(metrics, type(self).__name__)
        numbers = steps.stacked()
        if self._watch is None:  # reading a value costs nothing on a CPU
            return {**metrics, _FINITE: numbers.isfinite().all(), _STEPS: numbers}
        self._watch.note(batch, numbers, metrics)
        return metrics

    def _compiled_update(self) -> CompiledUpdate:
        return compile_update(self._watched_update, self.optimizers(), self.members(torch.nn.Module).values())

    def planned_updates(self) -> int:
        """Return how many updates the run will do."""
        parameters = self.parameters
        collections = (self.total_steps - parameters.learning_starts) / (parameters.n_envs * parameters.n_steps)
        return int(collections * parameters.updates_per_collect)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Return the optimisers that `build` has made."""
        return list(self.members(torch.optim.Optimizer).values())

    def _chosen_precision(self) -> str:
        if self.config.matmul_precision != "auto":
            return self.config.matmul_precision
        modules = self.members(torch.nn.Module).values()
        return choose_matmul_precision(layer_shapes(modules, self.parameters.batch_size), self.device)

    def members(self, kind: type[Member]) -> dict[str, Member]:
        """Return the attributes of a kind by their names, those in lists and dictionaries among them."""
        return {name: one for key, value in vars(self).items() for name, one in _found(key, value, kind)}

    def schedules(self, step: int) -> dict[str, float]:
        """Return what changes with the number of steps alone and is to be logged, for instance epsilon."""
        return {}

    # ---- training -------------------------------------------------------------------------------------------------

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

    def _train(self, progress: bool) -> TrainingResult:
        began = time.monotonic()
        try:
            traced = check_before_training(self)
            if self.run is None:
                self.run = Run.create(self.config)
                self.run.trust(self._own_classes())
                diagram_of(traced).save(self.run.path / COMPOSITION)
            self._trained = True
            with StopRequest() as stop:
                self._run_loop(self.run, progress, stop)
                self._close_environments()
                return self._finish(self.run, interrupted=stop.requested, progress=progress)
        finally:
            self._close_environments()
            if self.run is not None:
                with contextlib.suppress(RunFolderError):  # what ended the run says so, too
                    self.run.add_wall_time(time.monotonic() - began)
                self.run.unlock()

    def _run_loop(self, run: Run, progress: bool, stop: StopRequest) -> None:
        """Collect and learn up to `total_steps`, or until `stop` is requested."""
        parameters, due, checkpoint = self.parameters, self._due, self._checkpoint
        self._checkpoint = None
        if checkpoint is not None:
            run.put_back(checkpoint.copies)
        tensorboard = run.tensorboard_folder if self.config.logger.save_tensorboard else None
        resumed_at = None if checkpoint is None else checkpoint.step
        logger = Logger(
            run.path / "metrics.csv", tensorboard, verbose=self.config.logger.verbose, resumed_at=resumed_at
        )
        collector = Collector(
            self.train_env, self.policy, self.random_policy, keep_modes=not self.collects_in_evaluation_mode
        )
        buffer = ReplayBuffer(
            parameters.buffer_size, self.stored_variables, stacked=self.config.gym_env.stacked, device=self.device
        )
        window = parameters.n_step_return + 1
        bar = _progress_bar(self.total_steps, self.steps, progress)
        try:
            with bar, self.random_state, torch_threads(self.config.torch_threads):
                if checkpoint is not None:
                    buffer.restore(checkpoint.state["buffer"], checkpoint.rows())
                if checkpoint is not None or self._yielded:
                    self._renew_environments(collector)
                while self.steps < self.total_steps and not stop.requested:
                    frames = collector.collect(parameters.n_steps, random=self.steps < parameters.random_steps)
                    buffer.put(frames)
                    self.steps = collector.n_transitions
                    bar.update(min(self.steps, self.total_steps) - bar.n)
                    self._log_episodes(logger, collector, frames)

                    if self.steps >= parameters.learning_starts and buffer.n_windows(window):
                        due.updates += parameters.updates_per_collect
                        while due.updates >= 1:
                            stop_if_requested()
                            logger.average(self.learn(buffer.sample(parameters.batch_size, window)))
                            due.updates -= 1
                        collector.load_policy(self.policy)

                    if self.steps >= due.log:
                        for name, value in self.schedules(self.steps).items():
                            logger.add_scalar(name, value, self.steps)
                        self._log_all(logger)
                    if parameters.nb_evals and self.steps >= due.evaluation:
                        self._evaluate(run, logger, bar)
                        due.evaluation = self.steps + parameters.eval_interval
                        if self._yielded:
                            buffer.end_episodes()
                            self._renew_environments(collector)
                    if self.steps >= due.checkpoint:
                        due.checkpoint = self._next_checkpoint()
                        self._save_checkpoint(run, logger, buffer)
                        self._renew_environments(collector)
                if self.steps > self._evaluated_at and not stop.requested:
                    if parameters.nb_evals:
                        self._evaluate(run, logger, bar)
                    else:  # nothing chooses among policies
                        self._keep_best(run, None)
                if not stop.requested:
                    self._save_checkpoint(run, logger, buffer)
        except Stopped:
            pass  # what was being collected or scored is left undone
        except WorkspaceRLError as error:
            self._check_updates(cause=error)  # what goes wrong may have begun in an update
            raise
        finally:  # whatever ended the run: nothing that was measured or learned is lost
            with contextlib.ExitStack() as last:
                if self.steps > self._evaluated_at:
                    last.callback(self._save_latest, run, None)
                last.callback(logger.close)
                last.callback(logger.flush, self.steps)

    def _log_episodes(self, logger: Logger, collector: Collector, frames: Workspace) -> None:
        done = frames["env/done"]
        if done.any():
            returns = collector.episode_returns(done)
            lengths = frames["env/timestep"][done].float()
            logger.average({"train/episode_return": returns, "train/episode_length": lengths})

    def _log_all(self, logger: Logger) -> None:
        self._flush(logger, averages=True)
        self._due.log = self.steps + self.config.logger.log_interval

    def _evaluate(self, run: Run, logger: Logger, bar: Any) -> None:
        """Score the current policy, log the score, and keep the policy as the latest and, if it is, as the best."""
        evaluation, steps = self.evaluate(), self.steps
        logger.add_scalar("eval/return_mean", evaluation.mean, steps)
        logger.add_scalar("eval/return_std", evaluation.std, steps)
        logger.add_scalar("eval/length_mean", sum(evaluation.lengths) / len(evaluation.lengths), steps)
        if bar.format_dict["rate"]:
            logger.add_scalar("time/steps_per_second", bar.format_dict["rate"], steps, csv=False)
        self._flush(logger, averages=False)  # which go on being collected until the next log is due
        if self.config.collect_stats:
            path = run.path / "eval_returns.csv"
            with told_errors(path), path.open("a", encoding="utf-8") as file:
                file.write(",".join([str(steps), *map(repr, evaluation.returns)]) + "\n")
        self._evaluated_at = steps
        self._save_latest(run, evaluation)
        if evaluation.better_than(self._best and self._best[1]):
            self._keep_best(run, evaluation)
        best = self._best and self._best[1]
        bar.set_postfix(refresh=False, last=f"{evaluation.mean:.1f}", best=f"{best.mean:.1f}" if best else "none")

    def _keep_best(self, run: Run, evaluation: Evaluation | None) -> None:
        """Keep the current policy as the best, with the score that chose it if it has one."""
        self._best = (self.steps, evaluation)
        if self.config.save_best:
            save_policy(self.eval_policy, run.path / "best")
            run.film("best").unlink(missing_ok=True)  # that of an older one
            run.save_scores("best", step=self.steps, selection=evaluation and evaluation.as_dict(), final=None)

    def _save_latest(self, run: Run, evaluation: Evaluation | None) -> None:
        """Keep the current policy as the latest, with its score if it has one."""
        save_policy(self.eval_policy, run.path / "latest")
        run.save_scores("latest", step=self.steps, selection=evaluation and evaluation.as_dict(), final=None)

    def _close_environments(self) -> None:
        with contextlib.ExitStack() as both:
            both.callback(self._close_evaluation)
            both.callback(self.train_env.close)

    def _close_evaluation(self) -> None:
        if self._eval_env is not None:
            self._eval_env.close()
            self._eval_env = None

    def _finish(self, run: Run, *, interrupted: bool, progress: bool) -> TrainingResult:
        """Score the best policy on fresh episodes and film it, unless the user is in a hurry."""
        final, video, no_video = None, None, ""
        keeps_best = self._best is not None and self.config.save_best
        if keeps_best and not interrupted:
            try:
                if self.parameters.final_episodes:
                    final = run.evaluate(self.parameters.final_episodes)
                    run.save_scores("best", final=final.as_dict())
                if self.config.record_best:
                    video, no_video = self._film(run)
            except KeyboardInterrupt:
                interrupted = True
        if interrupted and progress:
            which = "best" if keeps_best else "latest"
            ways = ways_on(run.path, run.config.algo, type(self), which, self._own_classes())
            say("\n  ".join(["stopped early; to go on, to score or to film the policy:", *ways]))
        best_step, selection = self._best if self._best else (0, None)
        tensorboard = run.tensorboard_folder if self.config.logger.save_tensorboard else None
        if tensorboard is not None and not interrupted:
            measured = {"score/selection": selection, "score/final": final}
            scores = {name: one.mean for name, one in measured.items() if one is not None}
            add_run(tensorboard, flatten(dataclasses.asdict(self.config)), scores, video, self.steps)
        outcome = (best_step, selection, final, video, tensorboard, interrupted, no_video)
        return TrainingResult(run.path, self.steps, *outcome)

    @staticmethod
    def _film(run: Run) -> tuple[Path | None, str]:
        """Film the best policy; return the film, or why there is none, which is no reason for a run to fail."""
        try:
            return run.record(), ""
        except (Exception, SystemExit) as error:  # whatever environments do when they are to draw themselves
            kind = "" if isinstance(error, WorkspaceRLError) else f"{type(error).__name__}: "
            return None, f"{kind}{error}"

    def _own_classes(self) -> list[type]:
        """Return the classes that the run's policies are built from: they are trusted, since they run already."""
        return [type(module) for module in self.eval_policy.modules()]

    # ---- checkpoints ----------------------------------------------------------------------------------------------

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
        if self.parameters.checkpoint_interval is None:
            raise RunFolderError(
                f"{run.path} keeps no checkpoints (algorithm.checkpoint_interval is null): train anew."
            )
        self.run, run.config = run, self.config
        run.trust(self._own_classes())
        checkpoint = self._checkpoint = run.checkpoints.newest()
        if checkpoint is None:
            if run.measured_until() >= 2 * self.parameters.checkpoint_interval or "final" in run.scores():
                raise CheckpointError(
                    f"{run.path} has got further than its first checkpoint, but there is none in "
                    f"{run.checkpoints.folder}: it cannot be resumed. Train again, into another base_dir."
                )
            run.start_again()
            warnings.warn(f"{run.path} has no checkpoint yet and starts from the beginning.", stacklevel=3)
            return
        for text in checkpoint.skipped:
            warnings.warn(f"{text} The run goes on from step {checkpoint.step:,}.", stacklevel=3)
        run.check_same_course(checkpoint.state["config"])
        changed = what_changed(
            checkpoint.state["config"],
            dataclasses.asdict(self.config),
            checkpoint.state.get("machine"),
            this_machine(self.device),
        )
        if changed:
            warnings.warn(
                f"{run.path} goes on from step {checkpoint.step:,} under other conditions ({'; '.join(changed)}). It "
                "learns the same, but rounds differently from here on: it will not be bit-identical to a run that was "
                "never stopped. matmul_precision=auto and compile=auto choose anew what suits this machine.",
                stacklevel=3,
            )
        try:
            loop, tensors = checkpoint.state["loop"], checkpoint.tensors
            check_classes(self._parts(), checkpoint.state.get("classes", {}))  # older ones have none
            load_state(self._parts(), tensors, checkpoint.state["parts"])
            self.random_state.restore(
                {name.removeprefix(_RANDOM): one for name, one in tensors.items() if name.startswith(_RANDOM)}
            )
            self.steps, self.n_updates = int(loop["steps"]), int(loop["n_updates"])
            self._evaluated_at = int(loop["evaluated_at"])
            self._best = loop["best"] and (int(loop["best"][0]), loop["best"][1] and Evaluation(**loop["best"][1]))
            self._due = _Due(**loop["due"])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, WorkspaceRLError):
                raise
            raise CheckpointError(
                f"the checkpoint of step {checkpoint.step:,} is not one of this run: {type(error).__name__}: {error}"
            ) from error
        run.save_config()

    def _parts(self) -> dict[str, Any]:
        """Return the modules and optimisers that make up the algorithm's state."""
        parts: dict[str, Any] = {**self.members(torch.nn.Module), **self.members(torch.optim.Optimizer)}
        loose = torch.nn.Module()
        for name, tensor in self.members(Tensor).items():  # such as a coefficient that is learned
            loose.register_buffer(name, tensor)
        return {**parts, "tensors": loose} if loose._buffers else parts

    def _next_checkpoint(self) -> float:
        interval = self.parameters.checkpoint_interval
        return math.inf if interval is None else (self.steps // interval + 1) * interval

    def _save_checkpoint(self, run: Run, logger: Logger, buffer: ReplayBuffer) -> None:
        """Write a checkpoint; the running episodes end here, since environments cannot be saved."""
        if self.parameters.checkpoint_interval is None or run.checkpoints.step == self.steps:
            return
        self._log_all(logger)
        buffer.end_episodes()
        tensors, plain = read_state(self._parts())
        tensors |= {_RANDOM + name: one.clone() for name, one in self.random_state.capture().items()}
        loop = {
            "steps": self.steps,
            "n_updates": self.n_updates,
            "evaluated_at": self._evaluated_at,
            "best": self._best and (self._best[0], self._best[1] and dataclasses.asdict(self._best[1])),
            "due": dataclasses.asdict(self._due),
        }
        config, machine = dataclasses.asdict(self.config), this_machine(self.device)
        state = {"loop": loop, "parts": plain, "classes": classes_of(self._parts())}
        state |= {"config": config, "machine": machine}
        run.checkpoints.save(self.steps, state, tensors, buffer, run.files_to_copy())

    def _renew_environments(self, collector: Collector) -> None:
        """Begin new episodes in new environments: those of a resumed run are new, too."""
        seed, n_envs = self.parameters.seed, self.parameters.n_envs
        with RandomState(seed, RENEWAL, self.steps):
            self.train_env.renew(episode_seeds(seed, TRAINING_EPISODES, self.steps, n=n_envs))
        self._yielded = False
        collector.restart(self.steps)
        collector.load_policy(self.policy)  # whatever acting has changed in its copy is not in the checkpoint
        self._close_evaluation()

    # ---- numbers that are not finite ------------------------------------------------------------------------------

    def _flush(self, logger: Logger, *, averages: bool) -> None:
        """Write what was measured, and stop if an update or a weight has gone wrong."""
        logger.flush(self.steps, averages=averages)
        self._check_updates()
        broken = non_finite_tensors(self.members(torch.nn.Module))
        if broken:
            raise NonFiniteError(
                f"after update {self.n_updates:,} (step {self.steps:,}), weights are not finite: {', '.join(broken)}. "
                + self._way_out()
            )

    def _check_updates(self, cause: BaseException | None = None) -> None:
        """Raise a `NonFiniteError` if the watch on a device has noted a bad update."""
        if self._watch is not None and bool(self._watch.bad):
            n = self._watched_from + int(self._watch.n_good)
            names = self._metric_names[tuple(self.update_flags(n).items())]
            raise self._non_finite(n, *self._watch.first_bad(names)) from cause

    def _non_finite(self, n: int, batch: Workspace, metrics: Mapping[str, Tensor]) -> NonFiniteError:
        values = {name: float(one) for name, one in metrics.items()}
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        listed = ", ".join(f"{name} = {value:.6g}" for name, value in values.items())
        text = f"update {n:,} (step {self.steps:,}) gave numbers that are not finite, {', '.join(bad)}: {listed}. "
        if self.run is not None:
            path = self.run.path / f"bad_update_{n}.safetensors"
            save_batch(batch, path)
            text += f"Its batch is kept in {path}. "
        return NonFiniteError(text + self._way_out())

    def _way_out(self) -> str:
        steps = self.run.checkpoints.steps() if self.run is not None else []
        last = f"The last good checkpoint is that of step {steps[-1]:,}. " if steps else "There is no checkpoint yet. "
        return last + (
            "Resuming would lead here again: train with a lower learning rate, a limit to the gradient "
            "(algorithm.max_grad_norm), or rewards and observations of a smaller scale."
        )

    # ---- scoring and filming --------------------------------------------------------------------------------------

    def evaluate(self) -> Evaluation:
        """Score the current policy: one whole episode in each of `nb_evals` environments, the same seeds every time.

        With `gym_env.single_instance` all of them in one, and the environment of training is closed meanwhile: its
        running episode ends.

        Raises:
            ConfigError: `nb_evals` is 0.
        """
        n_evals, single = self.parameters.nb_evals, self.config.gym_env.single_instance
        if not n_evals:
            raise ConfigError("algorithm.nb_evals: at least 1 expected to score a policy, 0 found.")
        seeds = episode_seeds(self.parameters.seed, EVALUATION_EPISODES, n=n_evals)
        if single:
            self._yielded = True
            self.train_env.close()
        if self._eval_env is None:
            with RandomState(self.parameters.seed, EVALUATION_EPISODES):
                n_envs = 1 if single else n_evals
                self._eval_env = make_env_agent(self.config.gym_env, n_envs, auto_reset=False, device=self.device)
        try:
            with torch_threads(self.config.torch_threads):
                return evaluate(self._eval_env, self.eval_policy, seeds)
        finally:
            if single:
                self._close_evaluation()

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


@dataclasses.dataclass
class _Due:
    """The steps at which the loop next logs, evaluates and writes a checkpoint, and updates that are owed."""

    log: int
    evaluation: int
    checkpoint: float
    updates: float = 0.0


def _found(name: str, value: Any, kind: type[Member]) -> Iterator[tuple[str, Member]]:
    if isinstance(value, kind):
        yield name, value
    elif isinstance(value, list | tuple | dict):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in pairs:
            yield from _found(f"{name}[{key}]", one, kind)


def _progress_bar(total: int, initial: int, progress: bool) -> Any:
    # Redrawn rarely where lines cannot be overwritten, as in a log file.
    interval = 0.5 if sys.stderr.isatty() or "ipykernel" in sys.modules else 10
    return tqdm(
        total=total,
        initial=min(initial, total),
        unit="step",
        disable=not progress,
        mininterval=interval,
        maxinterval=interval,
    )
