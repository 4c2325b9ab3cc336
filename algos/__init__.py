"""Algorithms, one file each.

- `sac`: soft actor-critic.
- `td3`: twin delayed deep deterministic policy gradient.
- `ddpg`: deep deterministic policy gradient.
- `dqn`: deep Q-networks, double and dueling.
"""

from workspace_rl.algos.ddpg import DDPG
from workspace_rl.algos.dqn import DQN
from workspace_rl.algos.sac import SAC
from workspace_rl.algos.td3 import TD3

#: Algorithms by their name in configurations (`algo: sac`).
ALGORITHMS = {"ddpg": DDPG, "dqn": DQN, "sac": SAC, "td3": TD3}

__all__ = ["ALGORITHMS", "DDPG", "DQN", "SAC", "TD3"]
