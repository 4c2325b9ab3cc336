"""A policy whose exploration is smooth: the noise on its actions is a function of the state, and kept for a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workspace_rl.agents.actors import SquashedGaussianActor
from workspace_rl.agents.networks import drawing_dtype, full_precision, output_product
from workspace_rl.basics.arguments import checked

#: Where means end before they are squashed: tanh(2) = 0.96. Further out, noise would change no action.
MEAN_MAX = 2.0
#: What is added to variances.
EPSILON = 1e-6


class StateDependentExplorationActor(SquashedGaussianActor):
    r"""A Gaussian policy squashed by tanh, with generalised state-dependent exploration (gSDE).

    Raffin et al. 2022, "Smooth Exploration for Robotic Reinforcement Learning" (arXiv:2005.05719). With the features
    z(s) of the last hidden layer and a matrix of learned deviations S (`[features, A]`),

        a = tanh(u),   u = mean(s) + z(s) E,   E_ij ~ N(0, S_ij^2),   so that u ~ N(mean(s), z(s)^2 S^2)

    (equations 6 to 8). Whoever acts keeps E for `resample_interval` steps of an episode (`hold_noise`): then the same
    state is always answered by the same action, and what is tried is tried for a while, instead of being undone by
    the next draw. Whoever learns draws for each row by itself, from the same Gaussian.

    Reads and writes what a `SquashedGaussianActor` does and, with `hold_noise`, `env/timestep` (`[B]`, 0 at the first
    frame of an episode) at `t`. Means end at -2 and 2. Each environment has an E of its own, kept in the agent, so that
    it goes on in a new workspace.
    """

    #: The logarithms of S, `[features, A]`.
    log_std: nn.Parameter  # type: ignore[assignment]

    @checked(least={"resample_interval": 1})
    def __init__(
        self,
        observation_size: int,
        hidden_sizes: Sequence[int],
        action_size: int,
        activation: type[nn.Module] = nn.ReLU,
        name: str | None = None,
        observation_choices: Sequence[Sequence[int]] | None = None,
        observation_variable: str = "env/env_obs",
        *,
        block: str = "plain",
        resample_interval: int = 8,
        log_std_init: float = -3.0,
    ) -> None:
        """Build a network with one output for each action component, its mean, and the deviations S.

        `log_std_init` is the natural logarithm of each deviation at first; for the other arguments see
        `SquashedGaussianActor`.
        """
        super().__init__(
            observation_size,
            hidden_sizes,
            action_size,
            activation,
            name,
            observation_choices,
            observation_variable,
            block=block,
        )
        self.resample_interval = resample_interval
        self.log_std = nn.Parameter(torch.full((self.mean.in_features, action_size), float(log_std_init)))
        # Not a buffer: a learner that hands its weights to a collector must not overwrite the collector's noise.
        self._noise: Tensor | None = None  # [B, features, A]

    def forward(
        self, t: int, stochastic: bool = True, log_prob: bool = True, hold_noise: bool = False, **kwargs: Any
    ) -> None:
        """Choose actions at step `t`.

        Args:
            t: the step.
            stochastic: draw the action; otherwise take the squashed mean.
            log_prob: also write `action_logprobs` (of drawn actions only).
            hold_noise: keep the noise from step to step; call it once for each frame.
            **kwargs: ignored.
        """
        features = self.features(t)
        mean = full_precision(self.mean(features)).clamp(-MEAN_MAX, MEAN_MAX)
        if not stochastic:
            self.set(("action", t), torch.tanh(mean))
            return
        variance = full_precision(output_product(features.square(), (2 * self.log_std).exp().T)) + EPSILON
        log_std = 0.5 * variance.log()
        if hold_noise:
            held = features.unsqueeze(1) @ (self.log_std.exp() * self._held(t, len(features)))
            noise = full_precision(held.squeeze(1)) / variance.sqrt()
        else:
            noise = torch.randn_like(mean)
        self.choose(t, mean, log_std, noise, log_prob=log_prob)

    def _held(self, t: int, n_envs: int) -> Tensor:
        """Return standard normal numbers, `[B, features, A]`, some of them new."""
        # Drawn at each step, whether it is needed or not: nothing then depends on what tensors hold.
        drawn = torch.randn((n_envs, *self.log_std.shape), dtype=drawing_dtype(), device=self.log_std.device)
        if self._noise is None or len(self._noise) != n_envs:
            self._noise = drawn
        else:
            new = self.get(("env/timestep", t)) % self.resample_interval == 0
            self._noise = torch.where(new.view(-1, 1, 1), drawn, self._noise)
        return self._noise
