"""Environments and agents with known answers."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import torch

from workspace_rl import Agent
from workspace_rl.agent import before


class CountingEnv(gym.Env):
    """The observation is the step's number; step k pays k; ends after `length` steps in one of three ways."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(self, length=3, ending="terminated", dtype=np.float32, render_mode=None):
        self.length, self.ending, self.render_mode = length, ending, render_mode
        self.observation_space = gym.spaces.Box(0, 100, (1,), dtype)
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        self.actions = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.k = 0
        return np.array([self.k], self.observation_space.dtype), {}

    def step(self, action):
        self.actions.append(np.array(action))
        self.k += 1
        over = self.k >= self.length
        return (
            np.array([self.k], self.observation_space.dtype),
            float(self.k),
            over and self.ending in ("terminated", "both"),
            over and self.ending in ("truncated", "both"),
            {},
        )

    def render(self):
        return np.full((31, 33, 3), 20 * self.k, np.uint8)


class SpaceEnv(gym.Env):
    """Any spaces; observations are sampled from the seed; remembers the actions that it gets."""

    def __init__(self, observation_space=None, action_space=None):
        default_observations, default_actions = gym.spaces.Box(-1, 1, (2,), np.float32), gym.spaces.Discrete(2)
        # Spaces have lengths, and may be false.
        self.observation_space = default_observations if observation_space is None else observation_space
        self.action_space = default_actions if action_space is None else action_space
        self.actions = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        return self.observation_space.sample(), {"seed": seed}

    def step(self, action):
        self.actions.append(np.array(action))
        return self.observation_space.sample(), 0.5, False, False, {}


class TargetEnv(gym.Env):
    """One step long: the reward is -(a - 0.5)^2, so that the best action is 0.5 and the best return 0."""

    def __init__(self):
        self.observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), -float((action[0] - 0.5) ** 2), True, False, {}


class MatchingEnv(gym.Env):
    """Three steps long: 1 is paid for each action that is the number observed, so that the best return is 3."""

    def __init__(self):
        self.observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.k, self.number = 0, int(self.np_random.integers(2))
        return np.array([self.number], np.float32), {}

    def step(self, action):
        self.k, reward, self.number = self.k + 1, float(action == self.number), int(self.np_random.integers(2))
        return np.array([self.number], np.float32), reward, self.k == 3, False, {}


class DrawingEnv(TargetEnv):
    """Draws from NumPy's global generator when it is made."""

    def __init__(self):
        super().__init__()
        self.offset = np.random.rand()

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, reward + self.offset, *rest


class Endless(gym.Env):
    """Never ends by itself; a step pays 1."""

    observation_space = gym.spaces.Box(-9, 9, (1,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 1.0, False, False, {}

    def render(self):
        return np.zeros((32, 32, 3), np.uint8)


class ConstantAgent(Agent):
    """Writes the same action for every environment."""

    def __init__(self, value=0.0, size=1):
        super().__init__()
        self.value, self.size = value, size

    def forward(self, t, **kwargs):
        batch = self.get(("env/done", t)).shape[0]
        self.set(("action", t), torch.full((batch, self.size), self.value))


class SummingAgent(Agent):
    """A policy with memory: the sum of all that was observed in the episode; the action is a share of it."""

    state_variables = ("sum",)

    def __init__(self, share=0.01):
        super().__init__()
        self.share = torch.nn.Parameter(torch.tensor(share))

    def forward(self, t=None, **kwargs):
        for step in range(len(self.get("env/env_obs"))) if t is None else [t]:
            observed = self.get(("env/env_obs", step))
            earlier = self.get(("sum", step - 1)) if step else self._before(observed)
            running = (self.get(("env/timestep", step)) > 0).unsqueeze(-1)
            self.set(("sum", step), observed + earlier * running)
            self.set(("action", step), self.share * self.get(("sum", step)))

    def _before(self, observed):
        known = before("sum") in self.workspace
        return self.get((before("sum"), 0)) if known else torch.zeros_like(observed)


#: The sizes of `ContinuousSpacesEnv`, and of the batches that fit it.
OBS, ACT, BATCH = 5, 3, 64


class ContinuousSpacesEnv(gym.Env):
    """Spaces, for building stable-baselines3's models; it cannot be run."""

    observation_space = gym.spaces.Box(-1, 1, (OBS,))
    action_space = gym.spaces.Box(-1, 1, (ACT,))


class PayingEnv(gym.Env):
    """Pays what it is told, a step each; then the episode is over."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, rewards=(16_777_216.0, 1.0, 1.0)):
        self.rewards = list(rewards)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.k = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.k += 1
        return np.zeros(1, np.float32), self.rewards[self.k - 1], self.k == len(self.rewards), False, {}
