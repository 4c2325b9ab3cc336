"""TMaze-v0: walk down a corridor and turn where a sign at its beginning has pointed.

- `env`: the task: observations, actions, rewards, ends of episodes.
- `drawing`: pictures.
"""

from workspace_rl.envs.simulators.t_maze.env import TMazeEnv

__all__ = ["TMazeEnv"]
