"""An environment with observations and actions of any kind, named by a word, for runs that look at kinds."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces

VECTOR = spaces.Box(-1, 1, (3,), np.float32)
PICTURE = spaces.Box(0, 255, (3, 36, 36), np.uint8)

OBSERVATIONS = {
    "vector": VECTOR,
    "doubles": spaces.Box(-1, 1, (3,), np.float64),
    "number": spaces.Box(-1, 1, (), np.float32),
    "table": spaces.Box(-1, 1, (2, 3), np.float32),
    "choice": spaces.Discrete(3, start=1),
    "choices": spaces.MultiDiscrete([2, 3]),
    "switches": spaces.MultiBinary(3),
    "picture": PICTURE,
    "small picture": spaces.Box(0, 255, (1, 9, 8), np.uint8),
    "stack": spaces.Box(0, 255, (2, 3, 36, 36), np.uint8),
    "channels last": spaces.Box(0, 255, (36, 36, 3), np.uint8),
    "dict": spaces.Dict(picture=PICTURE, vector=VECTOR, goal=spaces.Discrete(3)),
    "dict of one": spaces.Dict(vector=VECTOR),
    "tuple": spaces.Tuple([VECTOR, spaces.Tuple([spaces.MultiDiscrete([2, 2]), spaces.Box(0, 9, (), np.int32)])]),
    "nested": spaces.Dict(a=spaces.Dict(b=VECTOR, c=spaces.Discrete(2)), d=spaces.Box(-1, 1, (2, 2), np.float64)),
    "empty keys": spaces.Dict({"": VECTOR, "a": spaces.Dict({"": spaces.Discrete(2)})}),
    "masked": spaces.Dict(vector=VECTOR, goal=spaces.Discrete(3), action_mask=spaces.MultiBinary(3)),
    "mask alone": spaces.Dict(action_mask=spaces.MultiBinary(3)),
    "text": spaces.Text(3),
    "dict with text": spaces.Dict(vector=VECTOR, text=spaces.Text(3)),
    "dict with small picture": spaces.Dict(vector=VECTOR, picture=spaces.Box(0, 255, (1, 9, 8), np.uint8)),
    "dict with channels last": spaces.Dict(vector=VECTOR, picture=spaces.Box(0, 255, (36, 36, 3), np.uint8)),
    "sequence": spaces.Tuple([VECTOR, spaces.Sequence(VECTOR)]),
    "graph": spaces.Dict(a=VECTOR, b=spaces.Graph(VECTOR, None)),
    "one of": spaces.OneOf([VECTOR, spaces.Discrete(2)]),
}

ACTIONS = {
    "continuous": spaces.Box(-1, 1, (2,), np.float32),
    "discrete": spaces.Discrete(3),
    "multi-discrete": spaces.MultiDiscrete([2, 3]),
    "multi-binary": spaces.MultiBinary(2),
    "dict": spaces.Dict(a=spaces.Discrete(2)),
    "tuple": spaces.Tuple([spaces.Discrete(2), spaces.Box(-1, 1, (1,), np.float32)]),
}


class SpacesEnv(gym.Env):
    """Episodes of three steps with sampled observations; every step pays 1. A part `action_mask` allows all."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, observation, action, render_mode=None):
        self.observation_space, self.action_space = OBSERVATIONS[observation], ACTIONS[action]
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.k = 0
        return self._observation(), {}

    def step(self, action):
        self.k += 1
        return self._observation(), 1.0, self.k == 3, False, {}

    def render(self):
        return np.zeros((32, 32, 3), np.uint8)

    def _observation(self):
        observation = self.observation_space.sample()
        if isinstance(observation, dict) and "action_mask" in observation:
            observation["action_mask"][:] = 1
        return observation


gym.register("Spaces-v0", entry_point=SpacesEnv)
