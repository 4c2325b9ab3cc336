r"""Deep deterministic policy gradient.

Lillicrap et al. 2016, "Continuous control with deep reinforcement learning" (arXiv:1509.02971). With discount g, a
deterministic actor pi, a critic Q, and copies pi', Q' that follow them slowly, one update on transitions (s, a, r, s')
takes a gradient step on each of

    critic   mean (Q(s, a) - y)^2,   y = r + g Q'(s', pi'(s'))
    actor    -mean Q(s, pi(s))

(equations 4 with 5, and 6, in the form of algorithm 1) and then moves the copies: pi' <- pi' + tau (pi - pi'), Q'
likewise. While training, noise is added to the actor's actions (equation 7).

The paper's numbers (section 7): learning rates 1e-4 (actor) and 1e-3 (critic), g = 0.99, tau = 0.001, batches of 64,
hidden layers of 400 and 300 units, Ornstein-Uhlenbeck noise with theta = 0.15 and sigma = 0.2. Its batch normalisation,
its decay of the critic's weights (that is `weight_decay` of the critic's optimiser), its small initial last layers, and
its critic into which actions enter at the second layer only, are left out, as in TD3.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from workspace_rl.agent import Agent
from workspace_rl.agents.actors import DeterministicActor
from workspace_rl.agents.critics import ContinuousQAgent
from workspace_rl.agents.exploration import GaussianNoiseAgent, OrnsteinUhlenbeckNoiseAgent, RandomAgent
from workspace_rl.agents.fronts import Fronts
from workspace_rl.agents.normalization import Normalizers
from workspace_rl.composition import Agents
from workspace_rl.config import ActorCriticArchitecture, OffPolicyConfig, RunConfig, optimizer_option, option
from workspace_rl.learning import batch_mean, minimise, plain_mean, setup_optimizer, soft_update
from workspace_rl.training import OffPolicyAlgorithm
from workspace_rl.workspace import Workspace

# ---- parameters ---------------------------------------------------------------------------------------------------


@dataclass
class DDPGParameters(OffPolicyConfig):
    """The algorithm's parameters."""

    tau_target: float = option(0.001, "how far target networks move at each of their updates", above=0, most=1)
    noise_kind: str = option(
        "gaussian", "exploration noise, fresh at each step or drifting", choices=("gaussian", "ornstein-uhlenbeck")
    )
    exploration_noise: float = option(0.1, "sigma of the exploration noise; the range of actions is 2 wide", least=0)
    architecture: ActorCriticArchitecture = field(default_factory=ActorCriticArchitecture)


@dataclass
class DDPGConfig(RunConfig):
    """A run of DDPG."""

    algo: str = option("ddpg", "the algorithm's name, or module:Class of one of your own")
    algorithm: DDPGParameters = field(default_factory=DDPGParameters)
    actor_optimizer: dict[str, Any] = optimizer_option("the actor's optimiser")
    critic_optimizer: dict[str, Any] = optimizer_option("the critics' optimiser")


# ---- losses -------------------------------------------------------------------------------------------------------


def critic_loss(workspace: Workspace) -> Tensor:
    """Return the critics' squared errors, averaged over the batch and summed over critics (equation 4).

    Of several target critics the least value counts (TD3). Reads `critic/q_values` (`[B, N]`) at 0;
    `target-critic/q_values` (`[B, N]`), `env/reward` and `discount` (`[B]`) at 1. Writes `critic/errors` (`[B, N]`) at
    0, of which priorities are made.
    """
    next_value = workspace.get("target-critic/q_values", 1).amin(-1)
    target = workspace.get("env/reward", 1) + workspace.get("discount", 1) * next_value
    errors = workspace.get("critic/q_values", 0) - target.detach().unsqueeze(-1)
    workspace.set("critic/errors", 0, errors.detach())
    return batch_mean(errors.square(), workspace).sum()


def actor_loss(workspace: Workspace) -> Tensor:
    """Return the actor's loss (equation 6): reads `critic/q_values` (`[B, N]`) at 0, of which the first counts."""
    return -batch_mean(workspace.get("critic/q_values", 0)[:, 0], workspace)


# ---- the algorithm ------------------------------------------------------------------------------------------------


class DDPG(OffPolicyAlgorithm[DDPGConfig]):
    """Deep deterministic policy gradient: `DDPG(config).train()`."""

    config_class: ClassVar[type[DDPGConfig]] = DDPGConfig
    action_kind = "continuous"
    gives_priorities = True
    n_critics = 1

    def build(self) -> None:
        """Create actor, critic, and their targets."""
        action_size = self.train_env.action_size
        config, parameters = self.config, self.config.algorithm
        sizes = parameters.architecture
        self.normalizers = Normalizers.of(parameters, self.train_env, self.device)
        self.fronts = Fronts.of_actor_critic(
            self.train_env, sizes, self.normalizers, n_critics=self.n_critics, target_actor=True, device=self.device
        )

        front = self.fronts.online["actor"]
        self.actor = DeterministicActor(
            front.size, sizes.actor_hidden_size, action_size, name="actor", block=sizes.actor_block, **front.reads
        )
        front = self.fronts.online["critic"]
        self.critic = ContinuousQAgent(
            front.size,
            sizes.critic_hidden_size,
            action_size,
            self.n_critics,
            name="critic",
            block=sizes.critic_block,
            dropout=sizes.critic_dropout,
            **front.reads,
        )
        self.actor.to(self.device)
        self.critic.to(self.device)
        self.target_actor = copy.deepcopy(self.actor).set_name("target-actor").requires_grad_(False)
        self.target_critic = copy.deepcopy(self.critic).with_prefix("target-critic/").set_name("target-critic")
        self.target_critic.requires_grad_(False)
        self.target_actor.observation_variable = self.fronts.targets["actor"].variable
        self.target_critic.observation_variable = self.fronts.targets["critic"].variable

        learned_with = self.fronts.learned_with
        self.actor_optimizer = setup_optimizer(config.actor_optimizer, self.actor, *learned_with("actor"))
        self.critic_optimizer = setup_optimizer(config.critic_optimizer, self.critic, *learned_with("critic"))

        noise: Agent
        if parameters.noise_kind == "gaussian":
            noise = GaussianNoiseAgent(parameters.exploration_noise)
        else:
            noise = OrnsteinUhlenbeckNoiseAgent(sigma=parameters.exploration_noise)
        self.policy = self.normalizers.before(self.fronts.acting(Agents(self.actor, noise)))
        self.random_policy = RandomAgent(self.train_env.action_space)
        self.eval_policy = self.normalizers.before(self.fronts.evaluated(self.actor))
        #: The agent whose actions the target critics judge.
        self.target_policy: Agent = self.target_actor

    def update(self, batch: Workspace) -> dict[str, Tensor]:
        """Take one step on each loss, and move the targets."""
        transitions = self.transitions(batch)
        metrics = self.update_critic(transitions) | self.update_actor(transitions)
        self.update_targets()
        return metrics

    def update_critic(self, transitions: Workspace) -> dict[str, Tensor]:
        """Take one step on the critics' loss; return metrics."""
        # The critics judge the stored action at 0; the target policy's own one stands at 1.
        workspace = Workspace(transitions)
        with torch.no_grad():
            self.target_policy(workspace, t=1)
            self.target_critic(workspace, t=1)
        self.critic(workspace, t=0)
        loss = critic_loss(workspace)
        norm = minimise(loss, self.critic_optimizer, self.config.algorithm.max_grad_norm)
        q_value = plain_mean(workspace.get("critic/q_values", 0), workspace, dim=None)
        metrics = {"loss/critic": loss.detach(), "q_value/mean": q_value.detach(), "gradient_norm/critic": norm}
        if self.config.algorithm.prioritized is not None:
            metrics |= self.row_errors(workspace.get("critic/errors", 0), workspace)
        return metrics

    def update_actor(self, transitions: Workspace) -> dict[str, Tensor]:
        """Take one step on the actor's loss; return metrics."""
        # Here the critics judge the action that the actor would take at 0.
        workspace = self.fronts.for_actor(transitions)
        self.actor(workspace, t=0)
        self.critic(workspace, t=0)
        loss = actor_loss(workspace)
        norm = minimise(loss, self.actor_optimizer, self.config.algorithm.max_grad_norm)
        return {"loss/actor": loss.detach(), "gradient_norm/actor": norm}

    def update_targets(self) -> None:
        """Move the target networks towards actor and critics."""
        soft_update(self.target_actor, self.actor, self.config.algorithm.tau_target)
        soft_update(self.target_critic, self.critic, self.config.algorithm.tau_target)
        self.fronts.soft_update(self.config.algorithm.tau_target)
