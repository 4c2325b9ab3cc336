"""BitFlip-v0: flip bits one by one until they are as asked for. Rewards say little.

- `env`: the task: observations, actions, rewards, ends of episodes.
- `drawing`: pictures.
"""

from workspace_rl.envs.simulators.bit_flip.env import BitFlipEnv

__all__ = ["BitFlipEnv"]
