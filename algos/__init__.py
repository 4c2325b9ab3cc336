"""Algorithms, one file each.

- `sac`: soft actor-critic.
- `tqc`: truncated quantile critics.
- `crossq`: batch renormalisation instead of target networks.
- `sac_discrete`: soft actor-critic for discrete actions.
- `td3`: twin delayed deep deterministic policy gradient.
- `ddpg`: deep deterministic policy gradient.
- `dqn`: deep Q-networks, double and dueling.
- `ppo`: proximal policy optimisation.
- `a2c`: advantage actor-critic.
- `reinforce`: REINFORCE, with and without a baseline.
"""

from workspace_rl.algos.a2c import A2C
from workspace_rl.algos.crossq import CrossQ
from workspace_rl.algos.ddpg import DDPG
from workspace_rl.algos.dqn import DQN
from workspace_rl.algos.ppo import PPO
from workspace_rl.algos.reinforce import REINFORCE
from workspace_rl.algos.sac import SAC
from workspace_rl.algos.sac_discrete import SACDiscrete
from workspace_rl.algos.td3 import TD3
from workspace_rl.algos.tqc import TQC

#: Algorithms by their name in configurations (`algo: sac`).
ALGORITHMS = {
    "a2c": A2C,
    "crossq": CrossQ,
    "ddpg": DDPG,
    "dqn": DQN,
    "ppo": PPO,
    "reinforce": REINFORCE,
    "sac": SAC,
    "sac_discrete": SACDiscrete,
    "td3": TD3,
    "tqc": TQC,
}

__all__ = ["A2C", "ALGORITHMS", "DDPG", "DQN", "PPO", "REINFORCE", "SAC", "TD3", "TQC", "CrossQ", "SACDiscrete"]
