r"""Twin delayed deep deterministic policy gradient.

Fujimoto et al. 2018, "Addressing Function Approximation Error in Actor-Critic Methods" (arXiv:1802.09477). TD3 is
DDPG (`algos/ddpg.py`) with three changes against critics that promise too much:

    twin critics      y = r + g min_i Q'_i(s', a')                                         (section 4.2, equation 10)
    delayed actor     the actor and all targets move at every d-th update of the critics   (section 5.2)
    target smoothing  a' = clip(pi'(s') + clip(e, -c, c), -1, 1),   e ~ N(0, sigma'^2)     (section 5.3)

One update on transitions (s, a, r, s') takes a gradient step on

    critics   sum_i mean (Q_i(s, a) - y)^2

and at every d-th update one on the actor's loss, which asks the first critic alone,

    actor     -mean Q_1(s, pi(s)),

and moves the copies: pi' <- pi' + tau (pi - pi'), Q'_i likewise (algorithm 1). While training, Gaussian noise is added
to the actor's actions.

The paper's numbers (section 6.1): sigma' = 0.2, c = 0.5, d = 2, tau = 0.005, exploration noise 0.1, learning rates
1e-3, batches of 100, hidden layers of 400 and 300 units. The authors' later code (github.com/sfujim/TD3) has learning
rates 3e-4, batches of 256 and hidden layers of 256 and 256 units, which are the defaults here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from workspace_rl.agents.exploration import GaussianNoiseAgent
from workspace_rl.algos.ddpg import DDPG, DDPGConfig, DDPGParameters
from workspace_rl.composition import Agents
from workspace_rl.config import option
from workspace_rl.workspace import Workspace

# ---- parameters ---------------------------------------------------------------------------------------------------


@dataclass
class TD3Parameters(DDPGParameters):
    """The algorithm's parameters."""

    tau_target: float = option(0.005, "how far target networks move at each of their updates", above=0, most=1)
    policy_noise: float = option(0.2, "standard deviation of the noise on the target policy's actions", least=0)
    noise_clip: float = option(0.5, "limit of that noise", least=0)
    policy_delay: int = option(2, "updates of the critics to each one of the actor and of the targets", least=1)


@dataclass
class TD3Config(DDPGConfig):
    """A run of TD3."""

    algo: str = option("td3", "the algorithm's name, or module:Class of one of your own")
    algorithm: TD3Parameters = field(default_factory=TD3Parameters)


# ---- the algorithm (its losses are those of DDPG) -----------------------------------------------------------------


class TD3(DDPG):
    """Twin delayed deep deterministic policy gradient: `TD3(config).train()`."""

    config: TD3Config
    config_class = TD3Config
    n_critics = 2

    def build(self) -> None:
        """Create actor, twin critics, and their targets, of which the actor's is smoothed."""
        super().build()
        parameters = self.config.algorithm
        smoothing = GaussianNoiseAgent(parameters.policy_noise, parameters.noise_clip, name="target-smoothing")
        self.target_policy = Agents(self.target_actor, smoothing)

    def update_flags(self, n: int) -> dict[str, Any]:
        """Return whether the n-th update is one of the actor and of the targets, too."""
        return {"delayed": n % self.config.algorithm.policy_delay == 0}

    def update(self, batch: Workspace, *, delayed: bool = True) -> dict[str, Tensor]:
        """Take one step on the critics' loss; if `delayed`, one on the actor's, and move the targets."""
        transitions = self.transitions(batch)
        metrics = self.update_critic(transitions)
        if delayed:
            metrics |= self.update_actor(transitions)
            self.update_targets()
        return metrics
