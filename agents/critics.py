"""Action-value functions for continuous actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from workspace_rl.agent import Agent
from workspace_rl.agents.networks import EnsembleMLP, full_precision
from workspace_rl.agents.observations import network_input, one_hot
from workspace_rl.basics.arguments import checked


class ContinuousQAgent(Agent):
    """An ensemble of N action-value functions Q_i(s, a).

    Reads `observation_variable` (`[B, observation_size]`) and `action` (`[B, action_size]`) at `t`; writes
    `<prefix>q_values` (`[B, N]`) at `t`. The prefix is "critic/" until `with_prefix` changes it.
    """

    @checked(least={"observation_size": 1, "hidden_sizes": 1, "action_size": 1, "n_critics": 1})
    def __init__(
        self,
        observation_size: int,
        hidden_sizes: Sequence[int],
        action_size: int,
        n_critics: int = 2,
        activation: type[nn.Module] = nn.ReLU,
        name: str | None = None,
        observation_choices: Sequence[Sequence[int]] | None = None,
        observation_variable: str = "env/env_obs",
    ) -> None:
        """Build `n_critics` perceptrons that are evaluated together.

        `observation_choices` (`GymAgent.observation_choices`) are given for observations that are choices, which the
        networks are then given one-hot.

        Raises:
            ConfigError: `hidden_sizes` is empty.
        """
        super().__init__(name)
        self.with_prefix("critic/")
        self.observation_variable = observation_variable
        self.one_hot = one_hot(observation_choices, observation_size, self.description())
        self.model = EnsembleMLP(observation_size + action_size, hidden_sizes, n_critics, activation)

    def forward(self, t: int, **kwargs: Any) -> None:
        """Evaluate the actions at step `t`."""
        weight = self.model.first.weight
        observation = network_input(self.get((self.observation_variable, t)), self.one_hot, self, weight)
        inputs = torch.cat((observation, self.get(("action", t)).to(weight.dtype)), dim=-1)
        self.set((f"{self.prefix}q_values", t), full_precision(self.model(inputs)))
