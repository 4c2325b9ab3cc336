r"""Truncated quantile critics.

Kuznetsov et al. 2020, "Controlling Overestimation Bias with Truncated Mixture of Continuous Distributional Quantile
Critics" (arXiv:2005.04269). SAC, whose N critics are distributions of returns, each given by M equally likely values
Z_i,1 .. Z_i,M (quantiles). One update on transitions (s, a, r, s') takes a gradient step on each of

    critics       mean_i,m,j rho_m (y_j - Z_i,m(s, a)),   y_j = r + g (z_j - alpha log pi(a'|s')),   a' ~ pi(s')
    actor         mean (alpha log pi(a|s) - mean_i,m Z_i,m(s, a)),                                   a ~ pi(s)

(equations 10 to 13), where z_1 <= z_2 <= .. are the values of all copies Z'(s', a') in order, without the d N greatest:
so values are not overestimated. rho_m is the quantile Huber loss of the m-th quantile, |tau_m - 1[u < 0]| H(u) with
tau_m = (m - 1/2) / M (equation 7). The entropy coefficient and the copies are as in SAC.
Without copies (`target_critics=False`) the critics judge both ends of transitions in one pass, as CrossQ's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from workspace_rl.agents import ContinuousQAgent, Front
from workspace_rl.algos.sac import SAC, FollowedParameters, SACConfig, actor_loss, check_without_targets
from workspace_rl.config import BLOCKS, ActorCriticArchitecture, option
from workspace_rl.errors import ConfigError
from workspace_rl.learning import batch_mean, quantile_huber_loss
from workspace_rl.workspace import Workspace

# ---- parameters ---------------------------------------------------------------------------------------------------


@dataclass
class TQCArchitecture(ActorCriticArchitecture):
    """The networks' hidden layers."""

    actor_block: str = option("plain", "what the actor's hidden layers are made of", choices=BLOCKS)
    critic_block: str = option("plain", "what the critics' hidden layers are made of", choices=BLOCKS)


@dataclass
class TQCParameters(FollowedParameters):
    """The algorithm's parameters."""

    n_quantiles: int = option(25, "values that make up a critic's distribution of returns", least=1)
    n_dropped_quantiles: int = option(2, "of these, for each critic, how many targets leave out, the greatest", least=0)
    target_critics: bool = option(
        True, "target critics follow the critics; false: none do, for hidden layers of batch_renorm, as in CrossQ"
    )
    architecture: TQCArchitecture = field(default_factory=TQCArchitecture)

    def check(self, path: str) -> None:
        """Raise a `ConfigError` if parameters contradict each other; `path` is put before their names."""
        super().check(path)
        if not self.target_critics:
            check_without_targets(self, path)
            if self.architecture.critic_block != "batch_renorm":
                raise ConfigError(
                    f"{path}architecture.critic_block: batch_renorm expected without target critics, "
                    f"{self.architecture.critic_block!r} found: nothing else would hold targets still. Take {path}"
                    f"architecture.critic_block=batch_renorm and {path}architecture.actor_block=batch_renorm."
                )
        else:
            for name in ("actor_block", "critic_block"):
                if getattr(self.architecture, name) == "batch_renorm":
                    raise ConfigError(
                        f"{path}architecture.{name}: no batch_renorm expected with target critics, whose batches are "
                        f"others than the critics'. Take {path}target_critics=false, or other layers."
                    )
        if self.n_dropped_quantiles >= self.n_quantiles:
            raise ConfigError(
                f"{path}n_dropped_quantiles: less than {path}n_quantiles = {self.n_quantiles} expected, "
                f"{self.n_dropped_quantiles} found; nothing would be left."
            )


@dataclass
class TQCConfig(SACConfig):
    """A run of TQC."""

    algo: str = option("tqc", "the algorithm's name, or module:Class of one of your own")
    algorithm: TQCParameters = field(default_factory=TQCParameters)  # type: ignore[assignment]


# ---- losses (the actor's, and that of the entropy coefficient, are SAC's) ------------------------------------------


def critic_loss(
    workspace: Workspace, entropy_coef: Tensor, n_dropped_quantiles: int, target: str = "target-critic/quantiles"
) -> Tensor:
    """Return the critics' quantile Huber loss (equations 10 to 12), averaged over the batch.

    Reads `critic/quantiles` (`[B, N, M]`) at 0; `target` (`[B, N, M]`, "critic/quantiles" without target critics),
    `action_logprobs`, `env/reward` and `discount` (`[B]`) at 1. No gradient flows back from targets. Writes
    `critic/errors` (`[B]`) at 0, the loss of each transition, of which priorities are made.
    """
    next_value = workspace.get(target, 1) - each(entropy_coef * workspace.get("action_logprobs", 1))
    targets = each(workspace.get("env/reward", 1)) + each(workspace.get("discount", 1)) * next_value
    # The greatest targets are those of the greatest values. They are dropped last, so that the targets are in memory
    # where all pairs are looked at, and are not computed for each.
    kept = kept_quantiles(targets.detach(), n_dropped_quantiles)
    losses = quantile_huber_loss(workspace.get("critic/quantiles", 0), kept.unsqueeze(1)).mean((1, 2))
    workspace.set("critic/errors", 0, losses.detach())
    return batch_mean(losses, workspace)


def each(x: Tensor) -> Tensor:
    """Return a number for each row, `[B]`, beside `[B, N, M]`."""
    return x.view(-1, 1, 1)


def kept_quantiles(quantiles: Tensor, n_dropped: int) -> Tensor:
    """Return the least values of all critics together: all but the `n_dropped` times N greatest, in no order.

    Of `quantiles`, `[B, N, M]`, they are `[B, N (M - n_dropped)]`.
    """
    n_kept = (quantiles.shape[-1] - n_dropped) * quantiles.shape[-2]
    return quantiles.flatten(1).topk(n_kept, largest=False, sorted=False).values  # in half the time of sorting them


# ---- the algorithm ------------------------------------------------------------------------------------------------


class TQC(SAC):
    """Truncated quantile critics: `TQC(config).train()`."""

    config: TQCConfig
    config_class = TQCConfig  # type: ignore[assignment]

    @property
    def has_targets(self) -> bool:
        """Whether target critics follow the critics."""
        return self.config.algorithm.target_critics

    def build_critic(self, front: Front, n_quantiles: int | None = None) -> ContinuousQAgent:
        """Return the critics, distributions of returns."""
        return super().build_critic(front, n_quantiles or self.config.algorithm.n_quantiles)

    def critic_loss(self, workspace: Workspace, entropy_coef: Tensor) -> Tensor:
        """Return the critics' loss."""
        target = "target-critic/quantiles" if self.has_targets else "critic/quantiles"
        return critic_loss(workspace, entropy_coef, self.config.algorithm.n_dropped_quantiles, target)

    def actor_loss(self, workspace: Workspace, entropy_coef: Tensor) -> Tensor:
        """Return the actor's loss, by the mean of all values."""
        return actor_loss(workspace, entropy_coef, "mean")
