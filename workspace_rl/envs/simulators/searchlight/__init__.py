"""Searchlight-v0: turn a searchlight to the ship that is asked for. A picture, a vector and a choice, all needed.

- `env`: the task: observations, actions, rewards, ends of episodes.
- `drawing`: pictures, those that are observed and those that are shown.
"""

from workspace_rl.envs.simulators.searchlight.env import SearchlightEnv

__all__ = ["SearchlightEnv"]
