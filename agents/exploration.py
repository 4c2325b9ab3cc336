"""Agents that choose actions without looking."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch

from workspace_rl.agent import Agent
from workspace_rl.errors import UnsupportedSpaceError


class RandomAgent(Agent):
    """Uniformly random actions: in [-1, 1] for a `Box` space, any choice for `Discrete` and `MultiDiscrete` ones.

    Reads the batch size and device from `env/done` (`[B]`) at `t`; writes `action` at `t`. Draws from torch's global
    generator.
    """

    def __init__(self, action_space: gym.Space[Any], name: str | None = None) -> None:
        """Choose actions for `action_space`.

        Raises:
            UnsupportedSpaceError: the space is of another kind.
        """
        super().__init__(name)
        self.shape: tuple[int, ...] = action_space.shape or ()
        self.choices: torch.Tensor | None = None
        if isinstance(action_space, gym.spaces.Discrete):
            self.choices = torch.tensor(int(action_space.n))
        elif isinstance(action_space, gym.spaces.MultiDiscrete):
            self.choices = torch.from_numpy(action_space.nvec)
        elif not isinstance(action_space, gym.spaces.Box):
            raise UnsupportedSpaceError(f"random actions are not available for {action_space}.")

    def forward(self, t: int, **kwargs: Any) -> None:
        """Draw actions at step `t`."""
        done = self.get(("env/done", t))
        uniform = torch.rand((done.shape[0], *self.shape), device=done.device)
        if self.choices is None:
            self.set(("action", t), 2 * uniform - 1)
        else:
            self.set(("action", t), (uniform * self.choices.to(done.device)).long())
