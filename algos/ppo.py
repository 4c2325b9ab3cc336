r"""Proximal policy optimisation.

Schulman et al. 2017, "Proximal Policy Optimization Algorithms" (arXiv:1707.06347); advantages as in Schulman et al.
2016 (arXiv:1506.02438); details as in Huang et al. 2022, "The 37 implementation details of PPO". With the policy pi
that is learned, pi_old that has acted, value V and its old one, and advantages A with returns R = A + V_old, one update
on rows (s, a) of a rollout takes a gradient step on the sum of

    policy        -mean min(r A, clip(r, 1 - eps, 1 + eps) A),   r = pi(a|s) / pi_old(a|s)      (equation 7), or
                  -mean (r A) + beta KL(pi_old, pi)                                             (equation 8)
    value         c_v mean (V(s) - R)^2 / 2
    entropy       -c_e mean H(pi(.|s))

(equation 9). Each rollout is learned from several times, in minibatches of shuffled rows, or, with memory, of whole
environments: gradients then go back through the steps of the rollout.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from workspace_rl.agents import build_actor_critic
from workspace_rl.config import OnPolicyConfig, RunConfig, optimizer_option, option
from workspace_rl.learning import minimise, normalised, setup_optimizer, weighted_mean
from workspace_rl.training import OnPolicyAlgorithm
from workspace_rl.workspace import Workspace

# ---- parameters ---------------------------------------------------------------------------------------------------


@dataclass
class PPOParameters(OnPolicyConfig):
    """The algorithm's parameters."""

    n_steps: int = option(2048, "steps of each environment in a rollout", least=1)
    n_envs: int = option(1, "environments stepped together", least=1)
    n_epochs: int = option(10, "how often each rollout is learned from", least=1)
    batch_size: int | None = option(
        64, "rows in a minibatch; null: the whole rollout; with memory a multiple of n_steps", least=1
    )
    gae_lambda: float = option(0.95, "how far advantages reach beyond one step", least=0, most=1)
    normalize_advantages: bool = option(True, "advantages of a minibatch are brought to mean 0 and deviation 1")
    max_grad_norm: float | None = option(
        0.5, "gradients are clipped to this Euclidean norm", above=0, instead=" null means no limit."
    )
    penalty: str = option("clip", "what keeps the policy near the old one", choices=("clip", "kl"))
    clip_range: float = option(0.2, "how far the ratio of probabilities counts (penalty: clip)", above=0)
    kl_coef: float = option(1.0, "the weight of the divergence at the beginning (penalty: kl)", above=0)
    kl_target: float = option(0.01, "the divergence that its weight is adapted to (penalty: kl), in nats", above=0)
    value_coef: float = option(0.5, "the weight of the value's loss", least=0)
    clip_range_value: float | None = option(None, "how far the value moves from the old one; null: no limit", above=0)
    target_kl: float | None = option(
        None, "a rollout's other minibatches are left out where the divergence is 1.5 times this, in nats", above=0
    )


@dataclass
class PPOConfig(RunConfig):
    """A run of PPO."""

    algo: str = option("ppo", "the algorithm's name, or module:Class of one of your own")
    algorithm: PPOParameters = field(default_factory=PPOParameters)
    optimizer: dict[str, Any] = optimizer_option("the optimiser of policy and value")


# ---- losses -------------------------------------------------------------------------------------------------------


def policy_ratio(workspace: Workspace) -> Tensor:
    """Return the ratio of probabilities r, `[T, B]`: reads `action_logprobs` and `old/action_logprobs`."""
    return (workspace["action_logprobs"] - workspace["old/action_logprobs"]).exp()


def clipped_policy_loss(workspace: Workspace, clip_range: float) -> Tensor:
    """Return the clipped surrogate, negated (equation 7).

    Reads, each `[T, B]`, what `policy_ratio` reads, `advantage` and `weight`.
    """
    ratio, advantage = policy_ratio(workspace), workspace["advantage"]
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    return -weighted_mean(torch.minimum(ratio * advantage, clipped * advantage), workspace["weight"])


def penalised_policy_loss(workspace: Workspace, kl_coef: Tensor) -> Tensor:
    """Return the surrogate with a penalty on the divergence, negated (equation 8); reads what the clipped one reads."""
    surrogate = weighted_mean(policy_ratio(workspace) * workspace["advantage"], workspace["weight"])
    return kl_coef * divergence(workspace) - surrogate


def value_loss(workspace: Workspace, clip_range: float | None = None) -> Tensor:
    """Return half the value's squared error, the greater one of clipped and unclipped where a range is given.

    Reads, each `[T, B]`, `value`, `old/value`, `return` and `weight`.
    """
    value, target = workspace["value"], workspace["return"]
    error = (value - target).square()
    if clip_range is not None:
        old = workspace["old/value"]
        clipped = old + (value - old).clamp(-clip_range, clip_range)
        error = torch.maximum(error, (clipped - target).square())
    return 0.5 * weighted_mean(error, workspace["weight"])


def divergence(workspace: Workspace) -> Tensor:
    """Return an estimate of KL(pi_old, pi) from the old one's actions, in nats.

    The mean of (r - 1) - log r, which is never negative (Schulman 2020, "Approximating KL divergence"). Reads what
    `policy_ratio` reads, and `weight`.
    """
    log_ratio = workspace["action_logprobs"] - workspace["old/action_logprobs"]
    return weighted_mean(log_ratio.exp() - 1 - log_ratio, workspace["weight"])


# ---- the algorithm ------------------------------------------------------------------------------------------------


class PPO(OnPolicyAlgorithm[PPOConfig]):
    """Proximal policy optimisation: `PPO(config).train()`."""

    config_class = PPOConfig

    def build(self) -> None:
        """Create policy and value."""
        agents = build_actor_critic(self.train_env, self.config.algorithm)
        self.policy, self.eval_policy, self.reward_normalizer = agents.to(self.device)
        self.optimizer = setup_optimizer(self.config.optimizer, self.policy)
        self.kl_coef = torch.tensor(self.config.algorithm.kl_coef, device=self.device)
        self.last_kl = torch.tensor(self.config.algorithm.kl_target, device=self.device)

    def begin_updates(self, step: int) -> None:
        """Adapt the penalty to how far the last rollout has led (the paper's section 4)."""
        super().begin_updates(step)
        parameters = self.config.algorithm
        if parameters.penalty == "kl":
            too_far, too_near = self.last_kl > 1.5 * parameters.kl_target, self.last_kl < parameters.kl_target / 1.5
            self.kl_coef.mul_(torch.where(too_far, 2.0, torch.where(too_near, 0.5, 1.0)))

    def update(self, batch: Workspace) -> dict[str, Tensor]:
        """Take one step on the sum of the losses."""
        parameters = self.config.algorithm
        workspace = Workspace(batch)
        self.policy(workspace, given=True)
        weight = workspace["weight"]
        if parameters.normalize_advantages:
            workspace.set_full("advantage", normalised(workspace["advantage"], weight))

        if parameters.penalty == "clip":
            policy = clipped_policy_loss(workspace, parameters.clip_range)
        else:
            policy = penalised_policy_loss(workspace, self.kl_coef)
        value = value_loss(workspace, parameters.clip_range_value)
        entropy = weighted_mean(workspace["entropy"], weight)
        loss = policy + parameters.value_coef * value - parameters.entropy_coef * entropy
        norm = minimise(loss, self.optimizer, parameters.max_grad_norm)

        kl = divergence(workspace).detach()
        self.last_kl.copy_(kl)
        outside = ((policy_ratio(workspace) - 1).abs() > parameters.clip_range).to(weight.dtype)
        metrics = {
            "loss/policy": policy,
            "loss/value": value,
            "entropy/policy": entropy,
            "kl": kl,
            "clip_fraction": weighted_mean(outside, weight),
            "value/mean": weighted_mean(workspace["value"], weight),
            "gradient_norm": norm,
        }
        return {name: one.detach() for name, one in metrics.items()}

    def enough(self, metrics: dict[str, Tensor]) -> bool:
        """Return whether the policy has moved far enough from the one that acted."""
        target = self.config.algorithm.target_kl
        return target is not None and not self.ranks.all(bool(metrics["kl"] <= 1.5 * target))
