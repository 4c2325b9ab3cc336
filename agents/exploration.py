"""Agents that explore: by actions chosen without looking, or by noise on the actions of a policy."""

from __future__ import annotations

import math
from typing import Any, cast

import gymnasium as gym
import torch
from torch import Tensor

from workspace_rl.agent import Agent
from workspace_rl.agents.masks import random_allowed, read_mask, require_allowed
from workspace_rl.agents.networks import drawing_dtype
from workspace_rl.basics.arguments import checked
from workspace_rl.errors import UnsupportedSpaceError


class RandomAgent(Agent):
    """Uniformly random actions: in [-1, 1] for a `Box` space, any choice where there are choices.

    Those are of `Discrete`, `MultiDiscrete` and `MultiBinary` spaces.

    Reads the batch size and device from `env/done` (`[B]`) at `t`; writes `action` at `t`. Draws from torch's global
    generator. With `mask_variable` it reads that, too (`[B, n]` bool), and draws among what is allowed: `n` are all
    choices, those of several parts side by side, and of `MultiBinary` spaces one for each part, whether it may be 1.
    """

    @checked(error=UnsupportedSpaceError)
    def __init__(self, action_space: gym.Space[Any], name: str | None = None, mask_variable: str | None = None) -> None:
        """Choose actions for `action_space`.

        Raises:
            UnsupportedSpaceError: the space is of another kind, or has no choices of which a mask could allow some.
        """
        super().__init__(name)
        self.mask_variable = mask_variable
        self.shape: tuple[int, ...] = action_space.shape or ()
        self.choices: torch.Tensor | None = None
        if isinstance(action_space, gym.spaces.Discrete):
            self.choices = torch.tensor(int(action_space.n))
        elif isinstance(action_space, gym.spaces.MultiDiscrete):
            self.choices = torch.from_numpy(action_space.nvec)
        elif isinstance(action_space, gym.spaces.MultiBinary):
            self.choices = torch.full(self.shape, 2)
        elif not isinstance(action_space, gym.spaces.Box):
            raise UnsupportedSpaceError(f"random actions are not available for {action_space}.")
        if mask_variable is not None and self.choices is None:
            raise UnsupportedSpaceError(
                f"actions of {action_space} are no choices of which the mask {mask_variable!r} could allow some. Leave "
                "it out."
            )
        self._switches = isinstance(action_space, gym.spaces.MultiBinary)

    def forward(self, t: int, **kwargs: Any) -> None:
        """Draw actions at step `t`.

        Raises:
            ActionError: an environment whose episode goes on allows no action.
        """
        if self.mask_variable is not None:
            self.set(("action", t), self._draw_allowed(self.mask_variable, t))
            return
        done = self.get(("env/done", t))
        uniform = torch.rand((done.shape[0], *self.shape), device=done.device, dtype=drawing_dtype())
        if self.choices is None:
            self.set(("action", t), 2 * uniform - 1)
        else:
            self.set(("action", t), (uniform * self.choices.to(done.device)).long())

    def _draw_allowed(self, variable: str, t: int) -> Tensor:
        """Return allowed actions, `[B, *shape]`, int64."""
        counts = cast(Tensor, self.choices).reshape(-1).tolist()
        if self._switches:
            allowed = read_mask(self, variable, t, len(counts))
            heads = torch.rand(allowed.shape, device=allowed.device) < 0.5
            return (allowed & heads).long().reshape(-1, *self.shape)
        parts = read_mask(self, variable, t, sum(counts)).split(counts, -1)
        require_allowed(torch.stack([one.any(-1) for one in parts], -1).unsqueeze(-1), self, variable, t)
        drawn = torch.stack([random_allowed(one) for one in parts], -1)
        return drawn.reshape(-1, *self.shape)


class GaussianNoiseAgent(Agent):
    """Adds independent Gaussian noise to actions: `a <- clip(a + e, -1, 1)`, `e ~ clip(N(0, sigma^2), -c, c)`.

    Each environment and each action component has a draw of its own, from torch's global generator. Reads and writes
    `action` (`[B, A]`) at `t`. Without the limit c this is exploration noise (Fujimoto et al. 2018, arXiv:1802.09477,
    algorithm 1), with it the smoothing of target policies (section 5.3 there).
    """

    @checked(least={"sigma": 0, "noise_clip": 0})
    def __init__(self, sigma: float, noise_clip: float | None = None, name: str | None = None) -> None:
        """Add noise of standard deviation `sigma`, cut off at `noise_clip` (c; None for no limit).

        Both are in units of the normalised action, whose range is 2 wide.
        """
        super().__init__(name)
        self.sigma = sigma
        self.noise_clip = noise_clip

    def forward(self, t: int, stochastic: bool = True, **kwargs: Any) -> None:
        """Add noise at step `t`, unless `stochastic` is false."""
        if not stochastic:
            return
        action = self.get(("action", t))
        noise = self.sigma * torch.randn_like(action)
        if self.noise_clip is not None:
            noise = noise.clamp(-self.noise_clip, self.noise_clip)
        self.set(("action", t), (action + noise).clamp(-1, 1))


class OrnsteinUhlenbeckNoiseAgent(Agent):
    """Adds noise that is correlated in time to actions: `a <- clip(a + x, -1, 1)`, where x drifts back to 0.

    Each environment and each action component has a process of its own (Uhlenbeck and Ornstein 1930, in steps of
    Euler and Maruyama), with draws from torch's global generator:

        x <- x - theta x dt + sigma sqrt(dt) N(0, 1)

    It starts from 0 in each episode. `theta` = 0.15 and `sigma` = 0.2 are those of Lillicrap et al. 2016
    (arXiv:1509.02971), section 7, which counts time in steps: `dt` = 1, so that noise forgets within about
    1 / (theta dt) = 7 steps and has a standard deviation of sigma / sqrt(theta (2 - theta dt)) = 0.38. OpenAI Baselines
    and stable-baselines3 take `dt` = 0.01: the same standard deviation, but 667 steps.

    Reads `env/timestep` (`[B]`, 0 at the first frame of an episode) at `t`; reads and writes `action` (`[B, A]`) at
    `t`. The process is kept in the agent, so that it goes on in a new workspace; call it once for each frame.
    """

    @checked(least={"theta": 0, "sigma": 0, "dt": 0})
    def __init__(self, theta: float = 0.15, sigma: float = 0.2, dt: float = 1.0, name: str | None = None) -> None:
        """Add noise that returns to 0 at the rate `theta`, is driven by `sigma`, and advances by `dt` each step."""
        super().__init__(name)
        self.theta = theta
        self.sigma = sigma
        self.dt = dt
        # Not a buffer: a learner that hands its weights to a collector must not overwrite the collector's noise.
        self._noise: Tensor | None = None  # [B, A]

    def forward(self, t: int, stochastic: bool = True, **kwargs: Any) -> None:
        """Advance the noise and add it at step `t`; do neither if `stochastic` is false."""
        if not stochastic:
            return
        action = self.get(("action", t))
        if self._noise is None or self._noise.shape != action.shape:
            self._noise = torch.zeros_like(action)
        before = self._noise * (self.get(("env/timestep", t)) > 0).unsqueeze(-1)
        drift = -self.theta * self.dt * before
        self._noise = before + drift + self.sigma * math.sqrt(self.dt) * torch.randn_like(action)
        self.set(("action", t), (action + self._noise).clamp(-1, 1))
