r"""CrossQ.

Bhatt et al. 2024, "CrossQ: Batch Normalization in Deep Reinforcement Learning for Greater Sample Efficiency and
Simplicity" (arXiv:1902.05605). SAC without target networks: actor and critics normalise what goes through them by the
statistics of batches (`agents/batch_renorm.py`), and the critics look at both ends of transitions (s, a, r, s') in one
batch, of which these statistics then are. One update takes a gradient step on

    critics   sum_i mean (Q_i(s, a) - y)^2,   y = r + g (min_i Q_i(s', a') - alpha log pi(a'|s')),   a' ~ pi(s'),

    where the 2 B values Q_i([s, s'], [a, a']) come from one pass, and nothing flows back from y        (figure 2)

and at every d-th update on the actor's loss and the entropy coefficient's, which are SAC's. Running statistics are used
instead of a batch's own, and do not change, where the actor chooses a', where the critics judge what the actor would
do, and in all acting. All that is done by SAC's update where there are no targets (`SAC.has_targets`).

The paper's numbers (table 2): critics of 2048 units, an actor of 256, Adam with beta_1 = 0.5 and learning rates 1e-3,
d = 3, one update a step, a momentum of 0.01 and 100,000 batches of warm-up of the statistics.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from workspace_rl.algos.sac import SAC, EntropyParameters, SACConfig, actor_loss, check_without_targets
from workspace_rl.config import BLOCKS, ActorCriticArchitecture, option
from workspace_rl.learning import batch_mean
from workspace_rl.workspace import Workspace

# ---- parameters ---------------------------------------------------------------------------------------------------


@dataclass
class CrossQArchitecture(ActorCriticArchitecture):
    """The networks' hidden layers."""

    critic_hidden_size: list[int] = option(
        lambda: [1024, 1024], "units of each critic's hidden layers", least=1, filled=True
    )
    actor_block: str = option("batch_renorm", "what the actor's hidden layers are made of", choices=BLOCKS)
    critic_block: str = option("batch_renorm", "what the critics' hidden layers are made of", choices=BLOCKS)


@dataclass
class CrossQParameters(EntropyParameters):
    """The algorithm's parameters."""

    policy_delay: int = option(3, "updates of the critics to each one of the actor", least=1)
    architecture: CrossQArchitecture = field(default_factory=CrossQArchitecture)

    def check(self, path: str) -> None:
        """Raise a `ConfigError` if parameters contradict each other; `path` is put before their names."""
        super().check(path)
        check_without_targets(self, path)


@dataclass
class CrossQConfig(SACConfig):
    """A run of CrossQ."""

    algo: str = option("crossq", "the algorithm's name, or module:Class of one of your own")
    algorithm: CrossQParameters = field(default_factory=CrossQParameters)  # type: ignore[assignment]


# ---- losses (the actor's, and that of the entropy coefficient, are SAC's) ------------------------------------------


def critic_loss(workspace: Workspace, entropy_coef: Tensor) -> Tensor:
    """Return the critics' squared errors, averaged over the batch and summed over critics (figure 2).

    Reads `critic/q_values` (`[B, N]`) at 0 and 1; `action_logprobs`, `env/reward` and `discount` (`[B]`) at 1.
    Writes `critic/errors` (`[B, N]`) at 0, of which priorities are made.
    """
    next_value = workspace.get("critic/q_values", 1).detach().amin(-1)
    next_value = next_value - entropy_coef * workspace.get("action_logprobs", 1)
    target = workspace.get("env/reward", 1) + workspace.get("discount", 1) * next_value
    errors = workspace.get("critic/q_values", 0) - target.detach().unsqueeze(-1)
    workspace.set("critic/errors", 0, errors.detach())
    return batch_mean(errors.square(), workspace).sum()


# ---- the algorithm ------------------------------------------------------------------------------------------------


class CrossQ(SAC):
    """CrossQ: `CrossQ(config).train()`."""

    config: CrossQConfig
    config_class = CrossQConfig  # type: ignore[assignment]

    @property
    def has_targets(self) -> bool:
        """Whether target critics follow the critics: none do."""
        return False

    def critic_loss(self, workspace: Workspace, entropy_coef: Tensor) -> Tensor:
        """Return the critics' loss."""
        return critic_loss(workspace, entropy_coef)

    def actor_loss(self, workspace: Workspace, entropy_coef: Tensor) -> Tensor:
        """Return the actor's loss, by the critics' least value."""
        return actor_loss(workspace, entropy_coef)
