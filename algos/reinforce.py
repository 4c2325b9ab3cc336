r"""REINFORCE, with and without a baseline.

Williams 1992, "Simple statistical gradient-following algorithms for connectionist reinforcement learning" (Machine
Learning 8); Sutton and Barto 2018, sections 13.3 and 13.4, without their factor g^t. With the rewards to go
G_t = r_t+1 + g G_t+1 and a baseline b, one update on the rows (s, a) of a rollout takes a gradient step on

    policy        -mean (G - b(s)) log pi(a|s)
    baseline      mean (b(s) - G)^2

Nothing follows a termination. What a limit of time or the rollout's end cuts off is not known: it counts as much as the
baseline says of the last observation, or, without one, as the mean return so far.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from workspace_rl.agents import build_actor_critic
from workspace_rl.config import OnPolicyConfig, RunConfig, optimizer_option, option
from workspace_rl.experience import gae
from workspace_rl.learning import minimise, normalised, setup_optimizer, weighted_mean
from workspace_rl.training import OnPolicyAlgorithm
from workspace_rl.workspace import Workspace

# ---- parameters ---------------------------------------------------------------------------------------------------

#: How much of the mean return each rollout replaces.
NEW_SHARE = 0.1


@dataclass
class REINFORCEParameters(OnPolicyConfig):
    """The algorithm's parameters."""

    n_steps: int = option(128, "steps of each environment in a rollout", least=1)
    baseline: str = option("value", "what returns are measured from", choices=("value", "none"))
    value_coef: float = option(0.5, "the weight of the baseline's loss", least=0)


@dataclass
class REINFORCEConfig(RunConfig):
    """A run of REINFORCE."""

    algo: str = option("reinforce", "the algorithm's name, or module:Class of one of your own")
    algorithm: REINFORCEParameters = field(default_factory=REINFORCEParameters)
    optimizer: dict[str, Any] = optimizer_option("the optimiser of policy and baseline")


# ---- losses -------------------------------------------------------------------------------------------------------


def policy_loss(workspace: Workspace) -> Tensor:
    """Return the policy's loss: reads `action_logprobs`, `advantage` (G - b) and `weight`, each `[T, B]`."""
    return -weighted_mean(workspace["advantage"] * workspace["action_logprobs"], workspace["weight"])


def value_loss(workspace: Workspace) -> Tensor:
    """Return the baseline's squared error: reads `value`, `return` and `weight`, each `[T, B]`."""
    return weighted_mean((workspace["value"] - workspace["return"]).square(), workspace["weight"])


# ---- the algorithm ------------------------------------------------------------------------------------------------


class REINFORCE(OnPolicyAlgorithm[REINFORCEConfig]):
    """REINFORCE: `REINFORCE(config).train()`."""

    config_class = REINFORCEConfig

    @property
    def has_values(self) -> bool:
        """Whether there is a baseline that is learned."""
        return self.config.algorithm.baseline == "value"

    def build(self) -> None:
        """Create the policy, and its baseline."""
        agents = build_actor_critic(self.train_env, self.config.algorithm, value=self.has_values)
        self.policy, self.eval_policy, self.reward_normalizer = agents.to(self.device)
        self.optimizer = setup_optimizer(self.config.optimizer, self.policy)
        self.mean_return = torch.tensor(0.0, device=self.device)

    def advantages(self, rollout: Workspace) -> tuple[Tensor, Tensor]:
        """Return the rewards to go, less the baseline, and the baseline, each `[T, B]`."""
        if self.has_values:  # rewards to go are advantages of the longest reach: gae_lambda is 1
            return super().advantages(rollout)
        reward, terminated, done = rollout["env/reward", "env/terminated", "env/done"]
        none = torch.zeros_like(reward[1:])
        # A row of the last frame, or of a limit of time, is followed by as much as the mean.
        cut = done[1:] & ~terminated[1:]
        cut[-1] |= ~done[-1]
        returns = gae(
            reward[1:],
            none,
            self.mean_return * cut,
            bootstrap=~terminated[1:],
            trace=~done[1:],
            discount_factor=self.parameters.discount_factor,
            gae_lambda=1,
        )
        weight = ~done[:-1]
        share = NEW_SHARE * (weighted_mean(returns, weight) - self.mean_return)
        self.mean_return.add_(share)
        return returns, none

    def update(self, batch: Workspace) -> dict[str, Tensor]:
        """Take one step on the losses."""
        parameters = self.config.algorithm
        workspace = Workspace(batch)
        self.policy(workspace, given=True)
        weight = workspace["weight"]
        metrics = {"return/mean": weighted_mean(workspace["return"], weight)}
        if parameters.normalize_advantages:
            workspace.set_full("advantage", normalised(workspace["advantage"], weight))

        entropy = weighted_mean(workspace["entropy"], weight)
        metrics |= {"loss/policy": policy_loss(workspace), "entropy/policy": entropy}
        loss = metrics["loss/policy"] - parameters.entropy_coef * entropy
        if self.has_values:
            metrics["loss/baseline"] = value_loss(workspace)
            loss = loss + parameters.value_coef * metrics["loss/baseline"]
        metrics["gradient_norm"] = minimise(loss, self.optimizer, parameters.max_grad_norm)
        return {name: one.detach() for name, one in metrics.items()}
