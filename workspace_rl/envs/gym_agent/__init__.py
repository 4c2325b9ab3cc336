"""Environments as an agent: gymnasium's vector environments, read and written through a workspace.

- `agent`: `GymAgent`: what it is told, its resets and its steps.
- `environments_agent`: what is known of its environments, their pictures, and their end.
- `making`: how its environments are made, and made anew.
- `seeding`: the seeds of resets, derived from the agent's or given.
- `auto_reset`: what follows the end of an episode: the next one, or rest.
- `episodes`: the running episodes, their returns and steps.
- `frames`: the tensors that are written at each step.
- `failures`: where and when an environment failed.
"""

from workspace_rl.envs.gym_agent.agent import GymAgent

__all__ = ["GymAgent"]
