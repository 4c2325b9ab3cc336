r"""Soft actor-critic for discrete actions.

Christodoulou 2019, "Soft Actor-Critic for Discrete Action Settings" (arXiv:1910.07207). SAC with an actor pi that gives
the probability of each action, and critics Q_i that judge all actions at once: means over actions are taken exactly,
where SAC draws one. With entropy coefficient alpha, discount g, copies Q'_i that follow the critics slowly, and the
entropy H(s) = - sum_a pi(a|s) log pi(a|s), one update on transitions (s, a, r, s') takes a gradient step on each of

    critics       sum_i mean (Q_i(s, a) - y)^2,   y = r + g (sum_a' pi(a'|s') min_i Q'_i(s', a') + alpha H(s'))
    actor         - mean (sum_a pi(a|s) min_i Q_i(s, a) + alpha H(s))
    coefficient   mean alpha (H(s) - c log n(s))

(equations 4 with 10, 12, and 11; in the last one, n(s) actions are allowed in s, whose greatest entropy is log n(s),
and c is the part of it that the policy's entropy is held at), and then moves the copies: Q' <- Q' + tau (Q - Q').
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from workspace_rl.agents import (
    CategoricalActor,
    DiscreteQAgent,
    FixedEntropyCoefficient,
    Front,
    Fronts,
    LearnedEntropyCoefficient,
    Normalizers,
    RandomAgent,
)
from workspace_rl.composition import Agents, KWAgentWrapper, StackAgent
from workspace_rl.config import (
    MaskedActions,
    OffPolicyConfig,
    PlainActorCriticArchitecture,
    RunConfig,
    optimizer_option,
    option,
)
from workspace_rl.learning import batch_mean, copy_parameters, minimise, plain_mean, setup_optimizer, soft_update
from workspace_rl.training import OffPolicyAlgorithm
from workspace_rl.workspace import Workspace

# ---- parameters ---------------------------------------------------------------------------------------------------


@dataclass
class SACDiscreteParameters(MaskedActions, OffPolicyConfig):
    """The algorithm's parameters."""

    n_critics: int = option(2, "how many critics there are", least=1)
    tau_target: float = option(0.005, "how far target critics move at each update", above=0, most=1)
    entropy_mode: str = option("auto", "learn the entropy coefficient, or keep it", choices=("auto", "fixed"))
    init_entropy_coef: float = option(1.0, "the entropy coefficient, at the beginning or for good", above=0)
    target_entropy_part: float = option(
        0.3, "with entropy_mode auto: the policy's entropy, as a part of what it is at most", above=0, most=1
    )
    architecture: PlainActorCriticArchitecture = field(default_factory=PlainActorCriticArchitecture)


@dataclass
class SACDiscreteConfig(RunConfig):
    """A run of SAC for discrete actions."""

    algo: str = option("sac_discrete", "the algorithm's name, or module:Class of one of your own")
    algorithm: SACDiscreteParameters = field(default_factory=SACDiscreteParameters)
    actor_optimizer: dict[str, Any] = optimizer_option("the actor's optimiser")
    critic_optimizer: dict[str, Any] = optimizer_option("the critics' optimiser")
    entropy_coef_optimizer: dict[str, Any] = optimizer_option("the entropy coefficient's optimiser")


# ---- losses -------------------------------------------------------------------------------------------------------


def soft_value(workspace: Workspace, t: int, entropy_coef: Tensor, critic: str = "critic") -> Tensor:
    """Return what states are worth to the actor, `[B]`: the mean of the critics' least values, and the entropy's share.

    Reads `<critic>/q_values` (`[B, n_actions, N]`), `action_probs` (`[B, n_actions]`) and `entropy` (`[B]`) at `t`.
    """
    q_values = workspace.get(f"{critic}/q_values", t).amin(-1)
    return (workspace.get("action_probs", t) * q_values).sum(-1) + entropy_coef * workspace.get("entropy", t)


def critic_loss(workspace: Workspace, entropy_coef: Tensor) -> Tensor:
    """Return the critics' squared errors, averaged over the batch and summed over critics (equation 4, twice).

    Reads `critic/q_values` (`[B, n_actions, N]`) and `action` (`[B]`) at 0; `env/reward` and `discount` (`[B]`), and
    what `soft_value` reads of "target-critic", at 1. Writes `critic/errors` (`[B, N]`) at 0, of which priorities
    are made.
    """
    next_value = soft_value(workspace, 1, entropy_coef, "target-critic")
    target = workspace.get("env/reward", 1) + workspace.get("discount", 1) * next_value
    q_values = workspace.get("critic/q_values", 0)
    of_action = workspace.get("action", 0).view(-1, 1, 1).expand(-1, 1, q_values.shape[-1])
    errors = q_values.gather(1, of_action).squeeze(1) - target.detach().unsqueeze(-1)
    workspace.set("critic/errors", 0, errors.detach())
    return batch_mean(errors.square(), workspace).sum()


def actor_loss(workspace: Workspace, entropy_coef: Tensor) -> Tensor:
    """Return the actor's loss (equation 12): reads what `soft_value` reads at 0."""
    return -batch_mean(soft_value(workspace, 0, entropy_coef), workspace)


def entropy_coef_loss(workspace: Workspace, entropy_coef: Tensor, target_entropy: float | Tensor) -> Tensor:
    """Return the entropy coefficient's loss (equation 11): reads `entropy` (`[B]`) at 0.

    The `target_entropy` is in nats, one for all states or one for each (`[B]`).
    """
    return batch_mean(entropy_coef * (workspace.get("entropy", 0).detach() - target_entropy), workspace)


# ---- the actor ----------------------------------------------------------------------------------------------------


class DiscreteActor(CategoricalActor):
    """A policy for one choice of n that also tells how likely each is."""

    def forward(
        self, t: int | None = None, stochastic: bool = True, given: bool = False, of_all: bool = False, **kwargs: Any
    ) -> None:
        """Choose actions, as `CategoricalActor`, or look at all of them.

        Args:
            t: the step; None for all steps at once.
            stochastic: see `CategoricalActor`.
            given: see `CategoricalActor`.
            of_all: choose nothing; write `action_probs` (`[B, n_actions]`) and `entropy` (`[B]`, nats).
            **kwargs: ignored.
        """
        if not of_all:
            super().forward(t, stochastic, given, **kwargs)
            return
        log_probs = self.distribution(t).log_probs
        probs = log_probs.exp()
        self.set("action_probs", t, probs)
        # e^-100 is 0 to all purposes; the logarithms of what is not allowed, which are as low as numbers go, times a
        # large entropy coefficient would be beyond them.
        self.set("entropy", t, -(probs * log_probs.clamp(min=-100)).sum(-1))


# ---- the algorithm ------------------------------------------------------------------------------------------------


class SACDiscrete(OffPolicyAlgorithm[SACDiscreteConfig]):
    """Soft actor-critic for discrete actions: `SACDiscrete(config).train()`."""

    config_class = SACDiscreteConfig
    action_kind = "discrete"
    gives_priorities = True

    def build(self) -> None:
        """Create actor, critics, target critics and the entropy coefficient."""
        config, parameters = self.config, self.config.algorithm
        sizes, mask = parameters.architecture, parameters.action_mask
        #: The entropy of a policy that takes all actions equally often, in nats.
        self.most_entropy = math.log(self.train_env.action_size)
        self.normalizers = Normalizers.of(parameters, self.train_env, self.device)
        if mask is not None:
            self.stored_variables = [*self.stored_variables, mask]
        self.fronts = Fronts.of_actor_critic(
            self.train_env,
            sizes,
            self.normalizers,
            n_critics=parameters.n_critics,
            mask_variable=mask,
            device=self.device,
        )

        front = self.fronts.online["actor"]
        self.actor = DiscreteActor(
            front.size,
            sizes.actor_hidden_size,
            self.train_env.action_size,
            mask_variable=mask,
            activation=nn.ReLU,
            name="actor",
            **front.reads,
        )
        self.critic = self.build_critics(self.fronts.online["critic"], "critic")
        self.target_critic = self.build_critics(self.fronts.targets["critic"], "target-critic")
        self.entropy_coef: FixedEntropyCoefficient | LearnedEntropyCoefficient
        if parameters.entropy_mode == "auto":
            target = parameters.target_entropy_part * self.most_entropy
            self.entropy_coef = LearnedEntropyCoefficient(parameters.init_entropy_coef, target)
        else:
            self.entropy_coef = FixedEntropyCoefficient(parameters.init_entropy_coef)
        for module in (self.actor, self.critic, self.target_critic, self.entropy_coef):
            module.to(self.device)
        copy_parameters(self.target_critic, self.critic)
        self.target_critic.requires_grad_(False)

        learned_with = self.fronts.learned_with
        self.actor_optimizer = setup_optimizer(config.actor_optimizer, self.actor, *learned_with("actor"))
        self.critic_optimizer = setup_optimizer(config.critic_optimizer, self.critic, *learned_with("critic"))
        if isinstance(self.entropy_coef, LearnedEntropyCoefficient):
            self.entropy_coef_optimizer = setup_optimizer(config.entropy_coef_optimizer, self.entropy_coef)

        self.policy = self.normalizers.before(self.fronts.acting(self.actor))
        self.random_policy = RandomAgent(self.train_env.action_space, mask_variable=mask)
        self.eval_policy = self.normalizers.before(self.fronts.evaluated(KWAgentWrapper(self.actor, stochastic=False)))

    def build_critics(self, front: Front, prefix: str) -> Agents:
        """Return N networks that read what `front` writes, and what stacks their values: `<prefix>/q_values`."""
        parameters, sizes = self.config.algorithm, self.config.algorithm.architecture
        n, variables = parameters.n_critics, front.variables
        critics = [
            DiscreteQAgent(
                front.shape,
                sizes.critic_hidden_size,
                self.train_env.action_size,
                name=f"{prefix}-{number}",
                **{**front.reads, "observation_variable": variables[number % len(variables)]},
            ).with_prefix(f"{prefix}-{number}/")
            for number in range(n)
        ]
        stack = StackAgent([f"{prefix}-{number}/q_values" for number in range(n)], f"{prefix}/q_values")
        return Agents(*critics, stack)

    def target_entropy(self, workspace: Workspace) -> float | Tensor:
        """Return the entropy that the policy is to have, of all states, or, with a mask, of each (`[B]`)."""
        parameters = self.config.algorithm
        if parameters.action_mask is None:
            return self.most_entropy * parameters.target_entropy_part
        allowed = workspace.get(parameters.action_mask, 0) != 0
        return parameters.target_entropy_part * allowed.sum(-1).clamp(min=1).log()

    def update(self, batch: Workspace) -> dict[str, Tensor]:
        """Take one step on each loss, and move the target critics."""
        parameters = self.config.algorithm
        transitions = self.transitions(batch)
        entropy_coef = self.entropy_coef().detach()

        workspace = Workspace(transitions)
        with torch.no_grad():
            self.actor(workspace, t=1, of_all=True)
            self.target_critic(workspace, t=1)
        self.critic(workspace, t=0)
        q_values = workspace.get("critic/q_values", 0)
        critic = critic_loss(workspace, entropy_coef)
        errors = workspace.get("critic/errors", 0)
        critic_norm = minimise(critic, self.critic_optimizer, parameters.max_grad_norm)

        workspace = self.fronts.for_actor(transitions)
        self.actor(workspace, t=0, of_all=True)
        with torch.no_grad():  # the actor's loss reaches its probabilities, not what they are weights of
            self.critic(workspace, t=0)
        actor = actor_loss(workspace, entropy_coef)
        actor_norm = minimise(actor, self.actor_optimizer, parameters.max_grad_norm)

        metrics = {
            "loss/critic": critic,
            "loss/actor": actor,
            "q_value/mean": plain_mean(q_values, transitions, dim=None),
            "entropy/coefficient": entropy_coef,
            "entropy/policy": plain_mean(workspace.get("entropy", 0), workspace),
            "gradient_norm/critic": critic_norm,
            "gradient_norm/actor": actor_norm,
        }
        if isinstance(self.entropy_coef, LearnedEntropyCoefficient):
            coefficient = entropy_coef_loss(workspace, self.entropy_coef(), self.target_entropy(workspace))
            minimise(coefficient, self.entropy_coef_optimizer)
            metrics["loss/entropy_coefficient"] = coefficient
        if parameters.prioritized is not None:
            metrics |= self.row_errors(errors, transitions)
        soft_update(self.target_critic, self.critic, parameters.tau_target)
        self.fronts.soft_update(parameters.tau_target)
        return {name: value.detach() for name, value in metrics.items()}
