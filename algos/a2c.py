r"""Advantage actor-critic, the synchronous form of A3C.

Mnih et al. 2016, "Asynchronous Methods for Deep Reinforcement Learning" (arXiv:1602.01783). With policy pi, value V and
advantages A = R - V of n-step returns R (or generalised ones, Schulman et al. 2016, arXiv:1506.02438), one update on
the rows (s, a) of a rollout takes a gradient step on the sum of

    policy        -mean A log pi(a|s)
    value         c_v mean (V(s) - R)^2
    entropy       -c_e mean H(pi(.|s))

(section 4). Returns and advantages are constants, and each rollout is learned from once: the losses are those of
REINFORCE with a baseline, on returns that are bootstrapped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from workspace_rl.agents import build_actor_critic
from workspace_rl.algos.reinforce import policy_loss, value_loss
from workspace_rl.config import OnPolicyConfig, RunConfig, optimizer_option, option
from workspace_rl.learning import minimise, normalised, setup_optimizer, weighted_mean
from workspace_rl.training import OnPolicyAlgorithm
from workspace_rl.workspace import Workspace

# ---- parameters ---------------------------------------------------------------------------------------------------


@dataclass
class A2CParameters(OnPolicyConfig):
    """The algorithm's parameters."""

    n_steps: int = option(5, "steps of each environment in a rollout", least=1)
    max_grad_norm: float | None = option(
        0.5, "gradients are clipped to this Euclidean norm", above=0, instead=" null means no limit."
    )
    value_coef: float = option(0.5, "the weight of the value's loss", least=0)


@dataclass
class A2CConfig(RunConfig):
    """A run of A2C."""

    algo: str = option("a2c", "the algorithm's name, or module:Class of one of your own")
    algorithm: A2CParameters = field(default_factory=A2CParameters)
    optimizer: dict[str, Any] = optimizer_option("the optimiser of policy and value")


# ---- the algorithm ------------------------------------------------------------------------------------------------


class A2C(OnPolicyAlgorithm[A2CConfig]):
    """Advantage actor-critic: `A2C(config).train()`."""

    config_class = A2CConfig

    def build(self) -> None:
        """Create policy and value."""
        agents = build_actor_critic(self.train_env, self.config.algorithm)
        self.policy, self.eval_policy, self.reward_normalizer = agents.to(self.device)
        self.optimizer = setup_optimizer(self.config.optimizer, self.policy)

    def update(self, batch: Workspace) -> dict[str, Tensor]:
        """Take one step on the sum of the losses."""
        parameters = self.config.algorithm
        workspace = Workspace(batch)
        self.policy(workspace, given=True)
        weight = workspace["weight"]
        if parameters.normalize_advantages:
            workspace.set_full("advantage", normalised(workspace["advantage"], weight))

        policy, value = policy_loss(workspace), value_loss(workspace)
        entropy = weighted_mean(workspace["entropy"], weight)
        loss = policy + parameters.value_coef * value - parameters.entropy_coef * entropy
        norm = minimise(loss, self.optimizer, parameters.max_grad_norm)

        metrics = {
            "loss/policy": policy,
            "loss/value": value,
            "entropy/policy": entropy,
            "value/mean": weighted_mean(workspace["value"], weight),
            "gradient_norm": norm,
        }
        return {name: one.detach() for name, one in metrics.items()}
