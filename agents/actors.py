"""Policies for continuous actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workspace_rl.agent import Agent
from workspace_rl.agents.blocks import build_head, build_network
from workspace_rl.agents.distributions import squashed_gaussian_log_prob
from workspace_rl.agents.networks import first_weight, full_precision
from workspace_rl.agents.observations import network_input, one_hot
from workspace_rl.basics.arguments import checked

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0


class DeterministicActor(Agent):
    """A deterministic policy: `a = tanh(f(s))`, in [-1, 1].

    Reads `observation_variable` (`[B, observation_size]`) at `t`; writes `action` (`[B, action_size]`) at `t`. It does
    not explore: chain it with a noise agent, `Agents(actor, GaussianNoiseAgent(0.1))`.
    """

    @checked(least={"observation_size": 1, "hidden_sizes": 1, "action_size": 1})
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
    ) -> None:
        """Build a network with one output for each action component.

        `observation_choices` (`GymAgent.observation_choices`) are given for observations that are choices, which the
        network is then given one-hot; `block` says what hidden layers are made of (see `build_network`).
        """
        super().__init__(name)
        self.observation_variable = observation_variable
        self.one_hot = one_hot(observation_choices, observation_size, self.description())
        network = build_network(observation_size, hidden_sizes, action_size, block=block, activation=activation)
        self.model = nn.Sequential(*network, nn.Tanh())

    def forward(self, t: int, **kwargs: Any) -> None:
        """Choose actions at step `t`."""
        observation = network_input(
            self.get((self.observation_variable, t)), self.one_hot, self, first_weight(self.model)
        )
        self.set(("action", t), full_precision(self.model(observation)))


class SquashedGaussianActor(Agent):
    """A Gaussian policy squashed by tanh: `a = tanh(u)`, `u ~ N(mean(s), std(s))`, in (-1, 1).

    Reads `observation_variable` (`[B, observation_size]`) at `t`. Writes `action` (`[B, action_size]`) at `t` and, when
    the action is drawn at random, `action_logprobs` (`[B]`), the log-density of the action in [-1, 1] (natural
    logarithm), by Haarnoja et al. 2018 (arXiv:1812.05905), appendix C, equation 26:

        log pi(a|s) = log N(u; mean, std) - sum_i log(1 - tanh(u_i)^2)

    with `log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u))`, which is exact where the left side underflows.
    """

    @checked(least={"observation_size": 1, "hidden_sizes": 1, "action_size": 1})
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
    ) -> None:
        """Build a network with two outputs for each action component, its mean and its log standard deviation.

        `observation_choices` (`GymAgent.observation_choices`) are given for observations that are choices, which the
        network is then given one-hot; `block` says what hidden layers are made of (see `build_network`).
        """
        super().__init__(name)
        self.observation_variable = observation_variable
        self.one_hot = one_hot(observation_choices, observation_size, self.description())
        self.body = build_network(observation_size, hidden_sizes, block=block, activation=activation)
        width = hidden_sizes[-1] if hidden_sizes else observation_size
        self.mean = build_head(width, action_size, block)
        self.log_std = build_head(width, action_size, block)

    def forward(self, t: int, stochastic: bool = True, log_prob: bool = True, **kwargs: Any) -> None:
        """Choose actions at step `t`.

        Args:
            t: the step.
            stochastic: draw the action; otherwise take the squashed mean.
            log_prob: also write `action_logprobs` (of drawn actions only).
            **kwargs: ignored.
        """
        features = self.features(t)
        mean = full_precision(self.mean(features))
        if not stochastic:
            self.set(("action", t), torch.tanh(mean))
            return
        log_std = full_precision(self.log_std(features)).clamp(LOG_STD_MIN, LOG_STD_MAX)
        noise = torch.randn_like(mean)
        self.choose(t, mean, log_std, noise, log_prob=log_prob)

    def features(self, t: int) -> Tensor:
        """Return what the last hidden layer makes of the observations at step `t`, `[B, features]`."""
        observation = self.get((self.observation_variable, t))
        features: Tensor = self.body(network_input(observation, self.one_hot, self, self.mean.weight))
        return features

    def choose(self, t: int, mean: Tensor, log_std: Tensor, noise: Tensor, *, log_prob: bool) -> None:
        """Write the action that standard normal `noise` makes and, if asked for, its log-density; all are `[B, A]`."""
        u = mean + log_std.exp() * noise
        self.set(("action", t), torch.tanh(u))
        if log_prob:
            self.set(("action_logprobs", t), squashed_gaussian_log_prob(noise, log_std, u))
