r"""CrossQ.

Bhatt et al. 2024, "CrossQ: Batch Normalization in Deep Reinforcement Learning for Greater Sample Efficiency and
Simplicity" (arXiv:1902.05605). SAC without target networks: actor and critics normalise what goes through them by the
statistics of batches (`agents/batch_renorm.py`), and the critics look at both ends of transitions (s, a, r, s') in one
batch, of which these statistics then are. One update takes a gradient step on

    critics   sum_i mean (Q_i(s, a) - y)^2,   y = r + g (min_i Q_i(s', a') - alpha log pi(a'|s')),   a' ~ pi(s'),

    where the 2 B values Q_i([s, s'], [a, a']) come from one pass, and nothing flows back from y        (figure 2)

and at every d-th update on the actor's loss and the entropy coefficient's, which are SAC's. Running statistics are used
instead of a batch's own, and do not change, where the actor chooses a', where the critics judge what the actor would
do, and in all acting.

The paper's numbers (table 2): critics of 2048 units, an actor of 256, Adam with beta_1 = 0.5 and learning rates 1e-3,
d = 3, one update a step, a momentum of 0.01 and 100,000 batches of warm-up of the statistics.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from workspace_rl.algos.sac import SAC, EntropyParameters, SACConfig, actor_loss
from workspace_rl.config import BLOCKS, ActorCriticArchitecture, option
from workspace_rl.errors import ConfigError
from workspace_rl.learning import batch_mean
from workspace_rl.learning.modes import evaluation_mode
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
        if self.remembers:
            raise ConfigError(
                f"{path}architecture.memory.kind: none expected by CrossQ, {self.architecture.memory.kind} found: "
                "sequences have rows that are no transitions, and these must not enter the statistics of a batch. SAC, "
                "TQC, TD3 and DDPG learn with a memory."
            )


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
    has_targets = False

    def build(self) -> None:
        """Create actor, critics and the entropy coefficient.

        Raises:
            ConfigError: several ranks learn together.
        """
        if self.ranks.size > 1:
            raise ConfigError(
                f"CrossQ learns on one rank, {self.ranks.size} found: the statistics that it normalises by are those "
                "of whole batches, and each rank has a part of them. Start it without torchrun, with several "
                "collectors (collectors.n) if environments are slow; SAC and TQC learn on several ranks."
            )
        super().build()

    def critic_loss(self, workspace: Workspace, entropy_coef: Tensor) -> Tensor:
        """Return the critics' loss."""
        return critic_loss(workspace, entropy_coef)

    def actor_loss(self, workspace: Workspace, entropy_coef: Tensor) -> Tensor:
        """Return the actor's loss, by the critics' least value."""
        return actor_loss(workspace, entropy_coef)

    def update(self, batch: Workspace, *, delayed: bool = True) -> dict[str, Tensor]:
        """Take one step on the critics' loss; if `delayed`, one on the others, too."""
        transitions = self.transitions(batch)
        entropy_coef = self.entropy_coef().detach()
        metrics = self.update_critic(transitions, entropy_coef)
        if delayed:
            with evaluation_mode(self.critic):
                metrics |= self.update_actor(transitions, entropy_coef)
        return metrics

    def ask_critics(self, workspace: Workspace) -> None:
        """Write all that the critics' loss reads besides rewards."""
        with torch.no_grad(), evaluation_mode(self.actor):
            self.actor(workspace, t=1)
        self.critic(workspace, t=None)  # both steps in one pass, whose statistics are those of both
