"""MinitaurBulletEnv-v0: the quadruped Minitaur of Ghost Robotics learns to walk, simulated by PyBullet.

PyBullet ships this environment for the older package ``gym`` only. Its classes for the robot and the motors do not
depend on ``gym`` and are used here unchanged; the environment around them follows PyBullet's ``minitaur_gym_env.py``.

- `env`: the task: observations, actions, rewards, ends of episodes.
- `options`: what it can be told.
- `simulation`: how the robot is simulated: motors, time steps, resets.
- `randomization`: physical parameters that are drawn anew at every reset.
- `camera`: pictures.
- `pybullet`: the package that simulates, and its window.
"""

from workspace_rl.envs.simulators.minitaur.env import MinitaurBulletEnv
from workspace_rl.envs.simulators.minitaur.randomization import RANDOMIZATION_RANGES

__all__ = ["RANDOMIZATION_RANGES", "MinitaurBulletEnv"]
