"""Environments as agents: made by their names, stepped together, their spaces and actions.

- `gym_agent`: the agent that resets and steps environments, and writes what they return.
- `spaces`: observations into variables, actions out of them, rescaled to their bounds.
- `vector`: copies of an environment that are stepped together, in this process or in others.
- `contract`: what environments must return, checked at each step.
- `simulators`: the library's own environments, and Atari games.
- `make_env`: one environment, by its name.
- `providers`: which package registers which environments, and how it is installed.
- `wrappers`: wrappers that configurations name.
- `keep_components`: a wrapper that hides components of a vector.
- `known_elsewhere`: environments of one's own program, made known to other processes.
- `rendering`: drawing without a screen.
- `facts`: time limits, and wrappers with a memory.
- `long_episodes`: episodes that do not come to an end.
"""

from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.envs.keep_components import KeepComponents
from workspace_rl.envs.make_env import make_env

__all__ = ["GymAgent", "KeepComponents", "make_env"]
