"""An environment of choices, of one or several, of zeros and ones, with and without masks of allowed ones."""

from __future__ import annotations

import gymnasium as gym
import numpy as np


class ChoicesEnv(gym.Env):
    """`length` steps long: a step pays the share of parts in which the right choice was taken: at best 1, in all 3.

    The observation marks the right choice of each part by 1 (`[sum of choices]` float32, parts side by side). Where
    there is a mask (`[sum of choices]` bool; of switches one for each, whether it may be 1), which allows the right
    choices, what is not allowed raises.

    Args:
        choices: 4 for `Discrete(4)`, [2, 3] for `MultiDiscrete([2, 3])`.
        switches: 3 for `MultiBinary(3)`, instead of `choices`.
        masked: "info" for a mask in `info["action_mask"]`, "observation" for one in a `Dict` observation of "vector"
            and "action_mask".
        length: of an episode, in steps.
        none_at: the step of an episode at which nothing is allowed.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, choices=4, switches=None, masked=None, length=3, none_at=None, render_mode=None):
        if switches is not None:
            self.action_space = gym.spaces.MultiBinary(switches)
            self.counts = [2] * int(np.prod(switches))
        elif isinstance(choices, int):
            self.action_space, self.counts = gym.spaces.Discrete(choices), [choices]
        else:
            self.action_space, self.counts = gym.spaces.MultiDiscrete(choices), list(choices)
        self.masked, self.length, self.none_at, self.render_mode = masked, length, none_at, render_mode
        self.size = sum(self.counts)
        self.starts = np.cumsum([0, *self.counts[:-1]])
        self.n_allowed = len(self.counts) if switches is not None else self.size
        self.switches = switches is not None
        self.mask = np.ones(self.n_allowed, bool)  # its memory is used again
        vector = gym.spaces.Box(0, 1, (self.size,), np.float32)
        self.observation_space = vector
        if masked == "observation":
            mask = gym.spaces.MultiBinary(self.n_allowed)
            self.observation_space = gym.spaces.Dict(vector=vector, action_mask=mask)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.k = 0
        return self._draw()

    def step(self, action):
        parts = np.asarray(action).reshape(-1)
        taken = self.starts + parts
        if self.masked and not (self.mask | (parts == 0) if self.switches else self.mask[taken]).all():
            raise ValueError(f"action {action} is not allowed by {self.mask.tolist()}")
        reward = float((taken == self.right).mean())
        self.k += 1
        observation, info = self._draw()
        return observation, reward, self.k == self.length, False, info

    def _draw(self):
        self.right = self.starts + self.np_random.integers(self.counts)
        self.mask[:] = self.np_random.random(self.n_allowed) < 0.5
        self.mask[self.right - self.starts == 1 if self.switches else self.right] = True
        if self.k == self.none_at:
            self.mask[:] = False
        vector = np.zeros(self.size, np.float32)
        vector[self.right] = 1
        if self.masked == "observation":
            return {"vector": vector, "action_mask": self.mask.astype(np.int8)}, {}
        return vector, {"action_mask": self.mask} if self.masked == "info" else {}

    def render(self):
        return np.full((32, 32, 3), 20 * self.k, np.uint8)


gym.register("Choices-v0", ChoicesEnv)
