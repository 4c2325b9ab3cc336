"""PointReach-v0: bring a point mass that cannot stop at once to a place in a plane. Rewards say little.

- `env`: the task: observations, actions, rewards, ends of episodes.
- `drawing`: pictures.
"""

from workspace_rl.envs.simulators.point_reach.env import PointReachEnv

__all__ = ["PointReachEnv"]
