r"""Soft actor-critic.

Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications" (arXiv:1812.05905); twin critics as in Fujimoto
et al. 2018 (arXiv:1802.09477). With entropy coefficient alpha, discount g, actor pi, critics Q_i and their slowly
following copies Q'_i, one update on transitions (s, a, r, s') takes a gradient step on each of

    critics       sum_i mean (Q_i(s, a) - y)^2,   y = r + g (min_i Q'_i(s', a') - alpha log pi(a'|s')),  a' ~ pi(s')
    actor         mean (alpha log pi(a|s) - min_i Q_i(s, a)),                                         a ~ pi(s)
    coefficient   mean (-alpha (log pi(a|s) + target entropy))

(equations 5 with 3, 9, and 18), and then moves the copies: Q' <- Q' + tau (Q - Q').
"""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from workspace_rl.agent import Agent
from workspace_rl.agents import (
    ContinuousQAgent,
    FixedEntropyCoefficient,
    Front,
    Fronts,
    LearnedEntropyCoefficient,
    Normalizers,
    RandomAgent,
    SquashedGaussianActor,
    StateDependentExplorationActor,
)
from workspace_rl.composition import KWAgentWrapper
from workspace_rl.config import (
    ActorCriticArchitecture,
    OffPolicyConfig,
    RunConfig,
    StateDependentExplorationConfig,
    optimizer_option,
    option,
)
from workspace_rl.errors import ConfigError
from workspace_rl.learning import ROW_ERRORS, batch_mean, minimise, plain_mean, setup_optimizer, soft_update
from workspace_rl.learning.modes import evaluation_mode
from workspace_rl.training import OffPolicyAlgorithm
from workspace_rl.workspace import Workspace

# ---- parameters ---------------------------------------------------------------------------------------------------


@dataclass
class EntropyParameters(OffPolicyConfig):
    """What all algorithms know that learn a policy which is to be random, too, by several critics."""

    n_critics: int = option(2, "how many critics there are", least=1)
    policy_delay: int = option(1, "updates of the critics to each one of actor and entropy coefficient", least=1)
    entropy_mode: str = option("auto", "learn the entropy coefficient, or keep it", choices=("auto", "fixed"))
    init_entropy_coef: float = option(1.0, "the entropy coefficient, at the beginning or for good", above=0)
    target_entropy: float | None = option(None, "in nats; minus the number of action components unless given")
    state_dependent_exploration: StateDependentExplorationConfig | None = option(
        None, "noise that is a function of the state and kept for a while (gSDE); {} for the usual one; null: none"
    )
    architecture: ActorCriticArchitecture = field(default_factory=ActorCriticArchitecture)


def check_without_targets(parameters: EntropyParameters, path: str) -> None:
    """Raise a `ConfigError` for what does not go without target critics; `path` is put before parameters' names."""
    architecture = parameters.architecture
    if parameters.batch_size < 2 and "batch_renorm" in (architecture.actor_block, architecture.critic_block):
        raise ConfigError(
            f"{path}batch_size: at least 2 expected with layers of batch_renorm, {parameters.batch_size} found: they "
            "normalise by the statistics of a batch, and one row has none."
        )
    if parameters.remembers:
        raise ConfigError(
            f"{path}architecture.memory.kind: none expected without target critics, "
            f"{parameters.architecture.memory.kind} found: sequences have rows that are no transitions, and these must "
            "not enter the statistics of a batch. SAC, TD3, DDPG, and TQC with target critics, learn with a memory."
        )


@dataclass
class FollowedParameters(EntropyParameters):
    """What those know, too, whose critics are followed by target critics."""

    tau_target: float = option(0.005, "how far target critics move at each update", above=0, most=1)


@dataclass
class SACParameters(FollowedParameters):
    """The algorithm's parameters."""

    n_target_critics: int | None = option(
        None,
        "targets are the least value of so many of the critics, drawn anew for each update (REDQ); null: all",
        least=1,
    )
    actor_value: str = option(
        "min", "what the actor makes greater: the critics' least value, or their mean", choices=("min", "mean")
    )

    def check(self, path: str) -> None:
        """Raise a `ConfigError` if parameters contradict each other; `path` is put before their names."""
        super().check(path)
        if self.n_target_critics is not None and self.n_target_critics > self.n_critics:
            raise ConfigError(
                f"{path}n_target_critics: at most {path}n_critics = {self.n_critics} expected, {self.n_target_critics} "
                "found."
            )


@dataclass
class SACConfig(RunConfig):
    """A run of SAC."""

    algo: str = option("sac", "the algorithm's name, or module:Class of one of your own")
    algorithm: SACParameters = field(default_factory=SACParameters)
    actor_optimizer: dict[str, Any] = optimizer_option("the actor's optimiser")
    critic_optimizer: dict[str, Any] = optimizer_option("the critics' optimiser")
    entropy_coef_optimizer: dict[str, Any] = optimizer_option("the entropy coefficient's optimiser")


# ---- losses -------------------------------------------------------------------------------------------------------


def critic_loss(workspace: Workspace, entropy_coef: Tensor, n_target_critics: int | None = None) -> Tensor:
    """Return the critics' squared errors, averaged over the batch and summed over critics (equation 5, twice).

    Reads `critic/q_values` (`[B, N]`) at 0; `target-critic/q_values` (`[B, N]`), `action_logprobs`, `env/reward` and
    `discount` (`[B]`) at 1. Writes `critic/errors` (`[B, N]`) at 0, of which priorities are made. With
    `n_target_critics`, M, the least value is that of M of the N target critics, drawn at random for all of the batch
    (Chen et al. 2021, "Randomized Ensembled Double Q-Learning", arXiv:2101.05982).
    """
    next_values = workspace.get("target-critic/q_values", 1)
    if n_target_critics is not None and n_target_critics < next_values.shape[-1]:
        chosen = torch.rand(next_values.shape[-1], device=next_values.device).argsort()[:n_target_critics]
        next_values = next_values[:, chosen]
    next_value = next_values.amin(-1)
    next_value = next_value - entropy_coef * workspace.get("action_logprobs", 1)
    target = workspace.get("env/reward", 1) + workspace.get("discount", 1) * next_value
    errors = workspace.get("critic/q_values", 0) - target.detach().unsqueeze(-1)
    workspace.set("critic/errors", 0, errors.detach())
    return batch_mean(errors.square(), workspace).sum()


def actor_loss(workspace: Workspace, entropy_coef: Tensor, value: str = "min") -> Tensor:
    """Return the actor's loss (equation 9), by the "min" or the "mean" of the critics' values.

    Reads `action_logprobs` (`[B]`) and `critic/q_values` (`[B, N]`) at 0.
    """
    q_values = workspace.get("critic/q_values", 0)
    q_value = q_values.amin(-1) if value == "min" else q_values.mean(-1)
    return batch_mean(entropy_coef * workspace.get("action_logprobs", 0) - q_value, workspace)


def entropy_coef_loss(workspace: Workspace, entropy_coef: Tensor, target_entropy: float) -> Tensor:
    """Return the entropy coefficient's loss (equation 18): reads `action_logprobs` (`[B]`) at 0."""
    return -batch_mean(entropy_coef * (workspace.get("action_logprobs", 0).detach() + target_entropy), workspace)


#: What an update measures, in the order in which it is logged.
METRICS = (
    "loss/critic",
    "loss/actor",
    "q_value/mean",
    "entropy/coefficient",
    "entropy/policy",
    "gradient_norm/critic",
    "gradient_norm/actor",
    "loss/entropy_coefficient",
)

# ---- the algorithm ------------------------------------------------------------------------------------------------


class SAC(OffPolicyAlgorithm[SACConfig]):
    """Soft actor-critic: `SAC(config).train()`."""

    config_class = SACConfig
    action_kind = "continuous"
    gives_priorities = True

    @property
    def has_targets(self) -> bool:
        """Whether target critics follow the critics.

        If not, the critics look at both ends of transitions in one pass (see `algos/crossq.py`), and what modules
        normalise by, the statistics of batches, is that of these passes: it stays as it is in all others.
        """
        return True

    def build(self) -> None:
        """Create actor, critics, target critics if there are to be any, and the entropy coefficient.

        Raises:
            ConfigError: there are no target critics, and several ranks learn together.
        """
        if not self.has_targets:
            self._require_one_rank()
        action_size = self.train_env.action_size
        config, parameters = self.config, self.config.algorithm
        sizes = parameters.architecture
        self.normalizers = Normalizers.of(parameters, self.train_env, self.device)
        self.fronts = Fronts.of_actor_critic(
            self.train_env,
            sizes,
            self.normalizers,
            n_critics=parameters.n_critics,
            target_critic=self.has_targets,
            device=self.device,
        )

        self.actor, explores = self.build_actor(self.fronts.online["actor"])
        self.critic = self.build_critic(self.fronts.online["critic"])
        if self.has_targets:
            self.target_critic = copy.deepcopy(self.critic).with_prefix("target-critic/").set_name("target-critic")
            self.target_critic.observation_variable = self.fronts.targets["critic"].variable
            self.target_critic.requires_grad_(False).to(self.device)
        self.entropy_coef: FixedEntropyCoefficient | LearnedEntropyCoefficient
        if parameters.entropy_mode == "auto":
            target = -float(action_size) if parameters.target_entropy is None else parameters.target_entropy
            self.entropy_coef = LearnedEntropyCoefficient(parameters.init_entropy_coef, target)
        else:
            self.entropy_coef = FixedEntropyCoefficient(parameters.init_entropy_coef)
        for module in (self.actor, self.critic, self.entropy_coef):
            module.to(self.device)

        learned_with = self.fronts.learned_with
        self.actor_optimizer = setup_optimizer(config.actor_optimizer, self.actor, *learned_with("actor"))
        self.critic_optimizer = setup_optimizer(config.critic_optimizer, self.critic, *learned_with("critic"))
        if isinstance(self.entropy_coef, LearnedEntropyCoefficient):
            self.entropy_coef_optimizer = setup_optimizer(config.entropy_coef_optimizer, self.entropy_coef)

        self.policy = self.normalizers.before(
            self.fronts.acting(KWAgentWrapper(self.actor, log_prob=False, **explores))
        )
        self.random_policy = RandomAgent(self.train_env.action_space)
        self.eval_policy = self.normalizers.before(self.fronts.evaluated(KWAgentWrapper(self.actor, stochastic=False)))

    def _require_one_rank(self) -> None:
        if self.ranks.size > 1:
            raise ConfigError(
                f"{type(self).__name__} learns on one rank without target critics, {self.ranks.size} found: the "
                "statistics that it normalises by are those of whole batches, and each rank has a part of them. Start "
                "it without torchrun, with several collectors (collectors.n) if environments are slow; SAC and TQC "
                "with target critics learn on several ranks."
            )

    def build_actor(self, front: Front) -> tuple[SquashedGaussianActor, dict[str, Any]]:
        """Return the actor, which reads what `front` writes, and with what arguments it explores."""
        by, sizes = self.config.algorithm.state_dependent_exploration, self.config.algorithm.architecture
        arguments = (front.size, sizes.actor_hidden_size, self.train_env.action_size)
        options = {"name": "actor", "block": sizes.actor_block, **front.reads}
        if by is None:
            return SquashedGaussianActor(*arguments, **options), {}
        options |= {"resample_interval": by.resample_interval, "log_std_init": by.log_std_init}
        return StateDependentExplorationActor(*arguments, **options), {"hold_noise": True}

    def build_critic(self, front: Front, n_quantiles: int | None = None) -> ContinuousQAgent:
        """Return the critics, which read what `front` writes; with `n_quantiles` they are distributions of returns."""
        parameters, sizes = self.config.algorithm, self.config.algorithm.architecture
        return ContinuousQAgent(
            front.size,
            sizes.critic_hidden_size,
            self.train_env.action_size,
            parameters.n_critics,
            name="critic",
            n_quantiles=n_quantiles,
            block=sizes.critic_block,
            dropout=sizes.critic_dropout,
            **front.reads,
        )

    def critic_loss(self, workspace: Workspace, entropy_coef: Tensor) -> Tensor:
        """Return the critics' loss."""
        return critic_loss(workspace, entropy_coef, self.config.algorithm.n_target_critics)

    def actor_loss(self, workspace: Workspace, entropy_coef: Tensor) -> Tensor:
        """Return the actor's loss."""
        return actor_loss(workspace, entropy_coef, self.config.algorithm.actor_value)

    def update_flags(self, n: int) -> dict[str, Any]:
        """Return whether the n-th update is one of the actor, too, where not each is."""
        delay = self.config.algorithm.policy_delay
        return {} if delay == 1 else {"delayed": n % delay == 0}

    def update(self, batch: Workspace, *, delayed: bool = True) -> dict[str, Tensor]:
        """Take one step on the critics' loss, if `delayed` one on each of the others, and move target critics."""
        transitions = self.transitions(batch)
        entropy_coef = self.entropy_coef().detach()
        metrics = self.update_critic(transitions, entropy_coef)
        if delayed:
            with self.statistics_kept(self.critic):
                metrics |= self.update_actor(transitions, entropy_coef)
        if self.has_targets:
            soft_update(self.target_critic, self.critic, self.config.algorithm.tau_target)
            self.fronts.soft_update(self.config.algorithm.tau_target)
        return {name: metrics[name] for name in (*METRICS, ROW_ERRORS) if name in metrics}

    def update_critic(self, transitions: Workspace, entropy_coef: Tensor) -> dict[str, Tensor]:
        """Take one step on the critics' loss; return metrics."""
        # The critics judge the stored action at 0; the actor's own one stands at 1.
        workspace = Workspace(transitions)
        self.ask_critics(workspace)
        loss = self.critic_loss(workspace, entropy_coef)
        norm = minimise(loss, self.critic_optimizer, self.config.algorithm.max_grad_norm)
        q_value = plain_mean(workspace.get("critic/q_values", 0), workspace, dim=None)
        metrics = {"loss/critic": loss.detach(), "q_value/mean": q_value.detach(), "gradient_norm/critic": norm}
        if self.config.algorithm.prioritized is not None:
            metrics |= self.row_errors(workspace.get("critic/errors", 0), workspace)
        return metrics

    def ask_critics(self, workspace: Workspace) -> None:
        """Write all that the critics' loss reads besides rewards."""
        with torch.no_grad(), self.statistics_kept(self.actor):
            self.actor(workspace, t=1)
            if self.has_targets:
                self.target_critic(workspace, t=1)
        self.critic(workspace, t=0 if self.has_targets else None)

    def statistics_kept(self, agent: Agent) -> AbstractContextManager[None]:
        """Return a context in which `agent` keeps the statistics that it normalises by, if there are no targets."""
        return nullcontext() if self.has_targets else evaluation_mode(agent)

    def update_actor(self, transitions: Workspace, entropy_coef: Tensor) -> dict[str, Tensor]:
        """Take one step on the losses of the actor and of the entropy coefficient; return metrics."""
        # Here the critics judge the action that the actor would take at 0.
        workspace = self.fronts.for_actor(transitions)
        self.actor(workspace, t=0)
        self.critic(workspace, t=0)
        loss = self.actor_loss(workspace, entropy_coef)
        norm = minimise(loss, self.actor_optimizer, self.config.algorithm.max_grad_norm)
        metrics = {
            "loss/actor": loss,
            "entropy/coefficient": entropy_coef,
            "entropy/policy": -plain_mean(workspace.get("action_logprobs", 0), workspace),
            "gradient_norm/actor": norm,
        }
        if isinstance(self.entropy_coef, LearnedEntropyCoefficient):
            coefficient = entropy_coef_loss(workspace, self.entropy_coef(), self.entropy_coef.target_entropy)
            minimise(coefficient, self.entropy_coef_optimizer)
            metrics["loss/entropy_coefficient"] = coefficient
        return {name: value.detach() for name, value in metrics.items()}
