"""CartPoleSwingUp-v1: swing a hanging pole up by pushing the cart it hangs from, and hold it upright.

- `env`: the task: observations, actions, rewards, ends of episodes.
- `physics`: the equations of motion.
- `drawing`: pictures and the window.
"""

from workspace_rl.envs.simulators.cartpole_swingup.env import CartPoleSwingUpEnv

__all__ = ["CartPoleSwingUpEnv"]
