"""The loop that all off-policy algorithms share: collect, store, update, log, evaluate, keep the best."""

from __future__ import annotations

import dataclasses
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm.auto import tqdm

from workspace_rl.agent import Agent
from workspace_rl.collector import Collector
from workspace_rl.compilation import WORTH_COMPILING, CompiledUpdate, compile_update
from workspace_rl.config import OffPolicyConfig, RunConfig
from workspace_rl.errors import ConfigError, RenderingError, RunFolderError, UnsupportedSpaceError
from workspace_rl.evaluation import Evaluation, evaluate
from workspace_rl.inspection.problems import check_before_training
from workspace_rl.interrupts import StopRequest
from workspace_rl.logger import Logger
from workspace_rl.notebook import shown_video
from workspace_rl.policy import describe_agent, save_policy
from workspace_rl.precision import choose_matmul_precision, layer_shapes, matmul_precision
from workspace_rl.replay_buffer import ReplayBuffer
from workspace_rl.run import Run, make_env_agent
from workspace_rl.schema import resolve_config
from workspace_rl.seeding import EVALUATION_EPISODES, TRAINING, RandomState, episode_seeds
from workspace_rl.threads import torch_threads
from workspace_rl.workspace import Workspace

Config = TypeVar("Config", bound=RunConfig)


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
    #: Whether ctrl-C ended the run early.
    interrupted: bool

    def __str__(self) -> str:
        """Return the scores and where everything is."""
        lines = [f"trained for {self.steps:,} steps"]
        if self.selection is not None:
            lines.append(f"best policy   at step {self.best_step:,}: {self.selection} (the evaluation that chose it)")
        if self.final is not None:
            lines.append(f"final score   {self.final}, fresh ones")
        if self.video is not None:
            lines.append(f"video         {self.video}")
        if self.tensorboard is not None:
            lines.append(f"TensorBoard   tensorboard --logdir {self.tensorboard}")
        return "\n".join([*lines, f"run           {self.run}"])

    __repr__ = __str__


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
    #: The variables that the replay buffer stores.
    stored_variables: Sequence[str] = ("env/env_obs", "action", "env/reward", "env/terminated")

    def __init__(self, config: Mapping[str, Any] | DictConfig) -> None:
        """Check the configuration, build the environments and the agents. Nothing is written yet.

        Raises:
            ConfigError: the configuration has an unknown key, a wrong type or an impossible value.
            UnknownEnvironmentError, MissingDependencyError: the environment cannot be made.
            UnsupportedSpaceError: the algorithm cannot handle the environment's spaces.
        """
        self.config: Config = resolve_config(self.config_class, config)  # type: ignore[assignment]
        self.parameters: OffPolicyConfig = self.config.algorithm  # type: ignore[attr-defined]
        self.total_steps = self.parameters.run_length
        self.device = _device(self.config.device)
        self.random_state = RandomState(self.parameters.seed, TRAINING)
        self.run: Run | None = None
        self._eval_env: Any = None
        self._best: tuple[int, Evaluation] | None = None
        #: Environment steps, and updates, so far.
        self.steps = 0
        self.n_updates = 0
        self._evaluated_at = -1
        with self.random_state, torch_threads(self.config.torch_threads):
            seed, n_envs = self.parameters.seed, self.parameters.n_envs
            self.train_env = make_env_agent(self.config.gym_env, n_envs, auto_reset=True, seed=seed, device=self.device)
            if self.train_env.action_kind != self.action_kind:
                raise UnsupportedSpaceError(
                    f"{type(self).__name__} needs {self.action_kind} actions, but {self.config.gym_env.env_name!r} has "
                    f"{self.train_env.action_space}. SAC, TD3 and DDPG are for continuous, DQN for discrete ones."
                )
            self.build()
            self.config.matmul_precision = self._chosen_precision()
        self._compiled = self._compile()
        describe_agent(self.eval_policy)  # a policy that cannot be saved is told now

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
            return (self._compiled or self._precise_update)(batch, **self.update_flags(self.n_updates))

    def _precise_update(self, batch: Workspace, **flags: Any) -> dict[str, Tensor]:
        # Without a cache: weights change in between, and their copies in bfloat16 with them.
        coarse = self.config.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=coarse, cache_enabled=False):
            return self.update(batch, **flags)

    def planned_updates(self) -> int:
        """Return how many updates the run will do."""
        parameters = self.parameters
        collections = (self.total_steps - parameters.learning_starts) / (parameters.n_envs * parameters.n_steps)
        return int(collections * parameters.updates_per_collect)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Return the optimisers that `build` has made."""
        return [one for one in vars(self).values() if isinstance(one, torch.optim.Optimizer)]

    def _compile(self) -> CompiledUpdate | None:
        wanted = self.config.compile
        if wanted == "auto":
            wanted = self.planned_updates() >= WORTH_COMPILING
        return compile_update(self._precise_update, self.optimizers()) if wanted else None

    def _chosen_precision(self) -> str:
        if self.config.matmul_precision != "auto":
            return self.config.matmul_precision
        modules = [one for one in vars(self).values() if isinstance(one, torch.nn.Module)]
        return choose_matmul_precision(layer_shapes(modules, self.parameters.batch_size), self.device)

    def schedules(self, step: int) -> dict[str, float]:
        """Return what changes with the number of steps alone and is to be logged, for instance epsilon."""
        return {}

    # ---- training -------------------------------------------------------------------------------------------------

    def train(self, *, progress: bool = True) -> TrainingResult:
        """Train as configured, into a new run folder; ctrl-C ends early and keeps everything.

        Args:
            progress: show a progress bar and print the result.

        Raises:
            RunFolderError: the run's folder exists already or cannot be written.
            CompositionError: what the algorithm is composed of does not fit together.
        """
        parameters = self.parameters
        if self.run is not None:
            raise RunFolderError(f"this object has trained already, into {self.run.path}. Create a new one.")
        check_before_training(self)
        run = self.run = Run.create(self.config)
        tensorboard = run.tensorboard_folder if self.config.logger.save_tensorboard else None
        logger = Logger(run.path / "metrics.csv", tensorboard, verbose=self.config.logger.verbose)
        collector = Collector(self.train_env, self.policy, self.random_policy)
        buffer = ReplayBuffer(
            parameters.buffer_size, self.stored_variables, stacked=self.config.gym_env.stacked, device=self.device
        )
        window = parameters.n_step_return + 1
        next_log, next_evaluation, updates_due = parameters.learning_starts, parameters.eval_interval, 0.0
        bar = _progress_bar(self.total_steps, progress)
        try:
            with bar, StopRequest() as stop, self.random_state, torch_threads(self.config.torch_threads):
                while self.steps < self.total_steps and not stop.requested:
                    frames = collector.collect(parameters.n_steps, random=self.steps < parameters.random_steps)
                    buffer.put(frames)
                    self.steps = collector.n_transitions
                    bar.update(min(self.steps, self.total_steps) - bar.n)
                    self._log_episodes(logger, frames)

                    if self.steps >= parameters.learning_starts and buffer.n_windows(window):
                        updates_due += parameters.updates_per_collect
                        while updates_due >= 1:
                            logger.average(self.learn(buffer.sample(parameters.batch_size, window)))
                            updates_due -= 1
                        collector.load_policy(self.policy)

                    if self.steps >= next_log:
                        for name, value in self.schedules(self.steps).items():
                            logger.add_scalar(name, value, self.steps)
                        logger.flush(self.steps)
                        next_log = self.steps + self.config.logger.log_interval
                    if self.steps >= next_evaluation:
                        self._evaluate(run, logger, bar)
                        next_evaluation = self.steps + parameters.eval_interval
                if self.steps > self._evaluated_at and not stop.requested:
                    self._evaluate(run, logger, bar)
        finally:  # whatever ended the run: nothing that was measured or learned is lost
            logger.flush(self.steps)
            logger.close()
            if self.steps > self._evaluated_at:
                self._save_latest(run, None)
            self._close_environments()
        result = self._finish(run, interrupted=stop.requested, progress=progress)
        if progress:
            print(result)
        return result

    def _log_episodes(self, logger: Logger, frames: Workspace) -> None:
        done = frames["env/done"]
        if done.any():
            returns = frames["env/cumulated_reward"][done]
            lengths = frames["env/timestep"][done].float()
            logger.average({"train/episode_return": returns, "train/episode_length": lengths})

    def _evaluate(self, run: Run, logger: Logger, bar: Any) -> None:
        """Score the current policy, log the score, and keep the policy as the latest and, if it is, as the best."""
        evaluation, steps = self.evaluate(), self.steps
        logger.add_scalar("eval/return_mean", evaluation.mean, steps)
        logger.add_scalar("eval/return_std", evaluation.std, steps)
        logger.add_scalar("eval/length_mean", sum(evaluation.lengths) / len(evaluation.lengths), steps)
        if bar.format_dict["rate"]:
            logger.add_scalar("time/steps_per_second", bar.format_dict["rate"], steps, csv=False)
        logger.flush(steps)
        if self.config.collect_stats:
            with (run.path / "eval_returns.csv").open("a") as file:
                file.write(",".join([str(steps), *map(repr, evaluation.returns)]) + "\n")
        self._evaluated_at = steps
        self._save_latest(run, evaluation)
        if self._best is None or evaluation.mean > self._best[1].mean:
            self._best = (steps, evaluation)
            if self.config.save_best:
                save_policy(self.eval_policy, run.path / "best")
                run.save_scores("best", step=steps, selection=evaluation.as_dict())
        bar.set_postfix(refresh=False, last=f"{evaluation.mean:.1f}", best=f"{self._best[1].mean:.1f}")

    def _save_latest(self, run: Run, evaluation: Evaluation | None) -> None:
        """Keep the current policy as the latest, with its score if it has one."""
        save_policy(self.eval_policy, run.path / "latest")
        run.save_scores("latest", step=self.steps, selection=evaluation and evaluation.as_dict())

    def _close_environments(self) -> None:
        self.train_env.close()
        if self._eval_env is not None:
            self._eval_env.close()
            self._eval_env = None

    def _finish(self, run: Run, *, interrupted: bool, progress: bool) -> TrainingResult:
        """Score the best policy on fresh episodes and film it, unless the user is in a hurry."""
        final, video = None, None
        keeps_best = self._best is not None and self.config.save_best
        allow = [type(module) for module in self.eval_policy.modules()]
        if keeps_best and not interrupted:
            try:
                if self.parameters.final_episodes:
                    final = run.evaluate(self.parameters.final_episodes, allow=allow)
                    run.save_scores("best", final=final.as_dict())
                if self.config.record_best:
                    video = run.record(allow=allow)
            except RenderingError as error:
                if progress:
                    print(f"no video: {error}")
            except KeyboardInterrupt:
                interrupted = True
        if interrupted and progress:
            which = "" if keeps_best else " --policy latest"
            print(f"stopped early; to score and film the policy:\n  workspace-rl evaluate {run.path}{which}")
            print(f"  workspace-rl record {run.path}{which}")
        best_step, selection = self._best if self._best else (0, None)
        tensorboard = run.tensorboard_folder if self.config.logger.save_tensorboard else None
        return TrainingResult(run.path, self.steps, best_step, selection, final, video, tensorboard, interrupted)

    # ---- scoring and filming --------------------------------------------------------------------------------------

    def evaluate(self) -> Evaluation:
        """Score the current policy: one whole episode in each of `nb_evals` environments, the same seeds every time."""
        n_evals = self.parameters.nb_evals
        seeds = episode_seeds(self.parameters.seed, EVALUATION_EPISODES, n=n_evals)
        if self._eval_env is None:
            with RandomState(self.parameters.seed, EVALUATION_EPISODES):
                self._eval_env = make_env_agent(self.config.gym_env, n_evals, auto_reset=False, device=self.device)
        with torch_threads(self.config.torch_threads):
            return evaluate(self._eval_env, self.eval_policy, seeds)

    def visualize_best(self) -> Any:
        """Return a film of the best policy: something that a notebook shows, the file's path elsewhere.

        Raises:
            RunFolderError: nothing has been trained yet.
            RenderingError: the environment cannot draw itself.
        """
        if self.run is None:
            raise RunFolderError("there is no best policy yet: call train() first.")
        path = self.run.path / "best" / "best_agent.mp4"
        if not path.is_file():
            path = self.run.record()
        return shown_video(path)


def _progress_bar(total: int, progress: bool) -> Any:
    # Redrawn rarely where lines cannot be overwritten, as in a log file.
    interval = 0.5 if sys.stderr.isatty() or "ipykernel" in sys.modules else 10
    return tqdm(total=total, unit="step", disable=not progress, mininterval=interval, maxinterval=interval)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device: {name!r} is not available ({str(error).splitlines()[0]}).") from error
    return device
