"""Environments that the library brings along. Importing this registers their ids; it imports no simulator.

- `cartpole_swingup`: CartPoleSwingUp-v1.
- `minitaur`: MinitaurBulletEnv-v0.
- `t_maze`: TMaze-v0.
- `searchlight`: Searchlight-v0.
- `point_reach`: PointReach-v0.
- `bit_flip`: BitFlip-v0.
- `atari`: the standard preprocessing of Atari games.
- `quiet`: silence what simulators print.
"""

import gymnasium as gym

gym.register(
    "CartPoleSwingUp-v1",
    entry_point="workspace_rl.envs.simulators.cartpole_swingup:CartPoleSwingUpEnv",
    max_episode_steps=500,
)
gym.register(
    "MinitaurBulletEnv-v0",
    entry_point="workspace_rl.envs.simulators.minitaur:MinitaurBulletEnv",
    max_episode_steps=1000,
    reward_threshold=15,
)
# Without a limit of gymnasium's: they have their own.
gym.register("TMaze-v0", entry_point="workspace_rl.envs.simulators.t_maze:TMazeEnv")
gym.register("Searchlight-v0", entry_point="workspace_rl.envs.simulators.searchlight:SearchlightEnv")
gym.register("PointReach-v0", entry_point="workspace_rl.envs.simulators.point_reach:PointReachEnv")
gym.register("BitFlip-v0", entry_point="workspace_rl.envs.simulators.bit_flip:BitFlipEnv")
