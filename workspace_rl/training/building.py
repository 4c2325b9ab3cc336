"""Building an algorithm from its configuration: environments, agents, and what learns and scores them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from workspace_rl.algorithm.contract import (
    names_kept_free,
    require_actions,
    require_front,
    require_mask,
    require_normalisation,
    require_part,
    require_policies,
    require_priorities,
)
from workspace_rl.algorithm.definition import AlgorithmDefinition, Config
from workspace_rl.algorithm.names import resolve_run_config
from workspace_rl.basics.seeding import PARTS, TRAINING, RandomState
from workspace_rl.collectors.driver import Collectors, OneCollector
from workspace_rl.collectors.fleet import FleetPlan, make_fleet
from workspace_rl.config.collectors_config import CollectorsConfig
from workspace_rl.config.make_env_agent import make_env_agent
from workspace_rl.config.sources import read_config
from workspace_rl.envs.facts import warn_of_statistics
from workspace_rl.errors import ConfigError
from workspace_rl.evaluation import Evaluation
from workspace_rl.experience.experience import Experience
from workspace_rl.films.playing import Playing
from workspace_rl.learning.compiled.update import WORTH_COMPILING
from workspace_rl.learning.learner import Learner
from workspace_rl.learning.precision import choose_matmul_precision, layer_shapes
from workspace_rl.learning.state.module_state import require_created
from workspace_rl.machine.devices import torch_device
from workspace_rl.machine.files import working_directory
from workspace_rl.machine.threads import torch_threads
from workspace_rl.policies.saving import check_savable
from workspace_rl.policies.spaces import spaces_of
from workspace_rl.ranks import ranks_of_this_program
from workspace_rl.training.parts.checkpointing import TrainingState
from workspace_rl.training.parts.progress import Progress
from workspace_rl.training.parts.scoring import Scoring
from workspace_rl.training.parts.scoring_process import ScoringProcess
from workspace_rl.workspace import Workspace


class BuiltAlgorithm(AlgorithmDefinition[Config]):
    """An algorithm that is built, learns and can be scored: everything of a run that needs no folder."""

    def __init__(self, config: str | Path | Mapping[str, Any] | DictConfig, overrides: Sequence[str] = ()) -> None:
        """Check the configuration, build the environments and the agents. Nothing is written yet.

        Args:
            config: a dictionary, a YAML file, or the name of a configuration that comes with the library, such as
                "sac/pendulum".
            overrides: `["algorithm.seed=2", ...]`, as behind a configuration in the command line.

        Raises:
            ConfigError: the configuration has an unknown key, a wrong type or an impossible value.
            UnknownEnvironmentError: the environment cannot be made.
            MissingDependencyError: neither can it, or what collectors shall live on is not installed.
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
        self.ranks = ranks_of_this_program()
        self._check_collectors()
        self.total_steps = self.parameters.run_length
        self.device = torch_device(self.ranks.device(self.config.device))
        self.random_state = RandomState(self.parameters.seed, TRAINING)
        self.progress = Progress.of(self.parameters, log=self.first_log)
        with self.random_state, torch_threads(self.config.torch_threads), contextlib.ExitStack() as if_it_fails:
            self.train_env = make_env_agent(
                self.config.gym_env,
                self.parameters.n_envs,
                auto_reset=True,
                seed=self.ranks.seed(self.parameters.seed),
                device=self.device,
            )
            if_it_fails.callback(self.train_env.close)
            self._away = working_directory()
            self._build()
            if_it_fails.pop_all()
        if not self.ranks.first:  # weights are those of all ranks, and what is drawn from here on is each one's own
            self.random_state = RandomState(self.ranks.seed(self.parameters.seed), TRAINING)

    def _check_collectors(self) -> None:
        """Look whether the collectors that the configuration asks for can be had."""
        if self.config.collectors is None:
            return
        if getattr(self.make_collector, "__func__", None) is not AlgorithmDefinition.make_collector:
            raise ConfigError(
                f"collectors: null expected, since {type(self).__name__} has a make_collector of its own, a section "
                "found. What it returns is the only collector of a run: leave the section out, or the method."
            )
        if self.config.collectors.mode == "free" and self.ranks.size > 1:
            raise ConfigError(
                f"collectors.mode: lockstep expected on {self.ranks.size} ranks, free found: ranks take each update "
                "together, and in free mode each would have another number of batches. Use lockstep, or one rank."
            )
        self.config.collectors.require_installed()

    def _build(self) -> None:
        """Build the agents, and what learns and scores them."""
        warn_of_statistics(self.train_env.facts(), self.train_env.label)
        require_actions(type(self), self.train_env, self.config.gym_env.env_name)
        require_mask(self)
        with names_kept_free(self):
            self.build()
        require_policies(self)
        require_normalisation(self)
        require_front(self)
        require_priorities(self)
        for name, module in self.members(torch.nn.Module).items():
            require_created(module, name)
        check_savable(self.eval_policy)
        self.eval_policy.policy_spaces = spaces_of(self.train_env)
        # What is chosen here is kept in the run's configuration.
        self.config.matmul_precision = self._chosen_precision()
        if self.config.compile == "auto":
            self.config.compile = self.planned_updates() >= WORTH_COMPILING
        self.scoring = Scoring(
            self.config.gym_env,
            self.parameters,
            self.device,
            threads=self.config.torch_threads,
            close_training=self.train_env.close,
        )

    @functools.cached_property
    def learner(self) -> Learner:
        """Does the updates; made when it is first needed, since it holds on to `update`, and so to this object."""
        return Learner(
            self._update,
            flags=self.update_flags,
            modules=functools.partial(self.members, torch.nn.Module),
            optimizers=self.optimizers(),
            device=self.device,
            compiled=bool(self.config.compile),
            precision=self.config.precision,
            matmul_precision=self.config.matmul_precision,
            n_updates=self.progress.n_updates,
        )

    def _chosen_precision(self) -> str:
        if self.config.matmul_precision != "auto":
            return self.config.matmul_precision
        modules = self.members(torch.nn.Module).values()
        return choose_matmul_precision(layer_shapes(modules, self.rows_per_update()), self.device)

    def _update(self, batch: Workspace, **flags: Any) -> dict[str, Tensor]:
        # Looked up at each update: it may be replaced on the object.
        return self.update(batch, **flags)

    def make_parts(self) -> tuple[Experience, Collectors]:
        """Return a new experience and new collectors for a run, which can do what the loop asks of them.

        Random numbers that are drawn meanwhile are the same ones in each run with this seed, and in resumed ones.

        Raises:
            CompositionError: one of them cannot.
        """
        with RandomState(self.parameters.seed, PARTS), torch_threads(self.config.torch_threads):
            experience = self.make_experience()
            require_part(type(self), "make_experience", experience)
            if self.config.collectors is not None:
                return experience, make_fleet(self._fleet_plan(self.config.collectors, experience))
            collector = self.make_collector()
            require_part(type(self), "make_collector", collector)
        return experience, OneCollector(collector, self.parameters.n_steps, self.random_steps)

    def _fleet_plan(self, config: CollectorsConfig, experience: Experience) -> FleetPlan:
        return FleetPlan(
            config=config,
            env_config=self.config.gym_env,
            parameters=self.parameters,
            seed=self.ranks.seed(self.parameters.seed),
            policy=self.policy,
            random_policy=getattr(self, "random_policy", None),
            keep_modes=not self.collects_in_evaluation_mode,
            choose_anew=self.chooses_anew,
            random_steps=self.random_steps,
            variables=experience.variables,
            threads=self.config.torch_threads,
            limiter=experience.limiter,
        )

    def training_state(self) -> TrainingState:
        """Return what reads and puts back all that decides how training goes on, except the experience."""
        return TrainingState(self.parts, self.random_state, self.progress)

    # ---- learning and scoring -------------------------------------------------------------------------------------

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

    def evaluate(self) -> Evaluation:
        """Score the current policy: one whole episode in each of `nb_evals` environments, the same seeds every time.

        With `gym_env.single_instance` all of them in one, and the environment of training is closed meanwhile: its
        running episode ends.

        Raises:
            ConfigError: `nb_evals` is 0.
        """
        return self.scoring(self.eval_policy)

    def scoring_process(self, playing: Playing) -> ScoringProcess:
        """Return what scores policies as `evaluate` does, and plays as `playing` does, in a process of its own.

        Raises:
            ConfigError: `evaluate` is one of the user's own.
            WorkerError: the policy cannot be sent to another process.
        """
        if getattr(self.evaluate, "__func__", None) is not BuiltAlgorithm.evaluate:
            raise ConfigError(
                f"evaluation_worker: false expected, since {type(self).__name__} has an evaluate of its own, which "
                "scores policies in the training process; true found."
            )
        return ScoringProcess(self.scoring, playing, self.eval_policy)

    def _close_environments(self) -> None:
        with contextlib.ExitStack() as both:
            both.callback(self.scoring.close)
            both.callback(self.train_env.close)
