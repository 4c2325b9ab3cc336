"""Environments that take liberties, and ways to run them."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from workspace_rl import Agents, GymAgent, TemporalAgent, Workspace
from workspace_rl.agents import RandomAgent

WAYS = ["sync", "async", "vector"]


def agent_of(make, n_envs=1, way="sync", **options):
    """Return environments made by `make`, also through gymnasium's own vector class, given as it is."""
    if way == "vector":
        return GymAgent(gym.vector.SyncVectorEnv([make] * n_envs), **options)
    return GymAgent(make, n_envs, vectorization=way, **options)


def play(agent, n_steps=6):
    workspace = Workspace()
    try:
        TemporalAgent(Agents(agent, RandomAgent(agent.action_space)))(workspace, t=0, n_steps=n_steps)
    finally:
        agent.close()
    return workspace


class Returning(gym.Env):
    """Returns the observations that it was given, one after the other, and pays their number."""

    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, space, *observations, info=None):
        self.observation_space, self.observations, self.info = space, observations, info or (lambda k: {})

    def reset(self, *, seed=None, options=None):
        self.k = 0
        return self._observation(), self.info(0)

    def step(self, action):
        self.k += 1
        return self._observation(), float(self.k), False, False, self.info(self.k)

    def _observation(self):
        return self.observations[min(self.k, len(self.observations) - 1)]


class Odd:
    def __reduce__(self):
        raise TypeError("not between processes")

    def __eq__(self, other):
        raise RuntimeError("nobody asks for this")

    __hash__ = None


class OwnVector(VectorEnv):
    """Two environments that count, in whatever kind of values it is told to return."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, change=None, at=2, length=4, observation_space=None, action_space=None):
        self.num_envs, self.change, self.at, self.length = 2, change, at, length
        default = spaces.Box(0, 99, (1,), np.float32)
        self.single_observation_space = default if observation_space is None else observation_space
        self.single_action_space = action_space or spaces.Box(-1, 1, (1,), np.float32)
        self.observations, self.rewards = np.zeros((2, 1), np.float32), np.zeros(2)
        self.terminated, self.truncated = np.zeros(2, bool), np.zeros(2, bool)
        self.seeds = []

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        self.t, self.k = 0, 0
        return self._outcome("reset", self._observe(), {"odd": Odd()})

    def step(self, actions):
        self.t += 1
        self.k = 0 if self.terminated[0] else self.k + 1
        actions[...] = 0
        self.rewards[:] = self.k
        self.terminated[:] = self.k == self.length
        return self._outcome(self.t, self._observe(), self.rewards, self.terminated, self.truncated, {"odd": Odd()})

    def _observe(self):
        self.observations[:] = self.k
        return self.observations

    def _outcome(self, moment, *outcome):
        return self.change(*outcome) if self.change is not None and moment == self.at else outcome
