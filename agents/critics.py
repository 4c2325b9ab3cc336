"""Action-value functions for continuous actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workspace_rl.agent import Agent
from workspace_rl.agents.networks import EnsembleMLP, full_precision
from workspace_rl.agents.observations import network_input, one_hot
from workspace_rl.basics.arguments import checked
from workspace_rl.errors import ConfigError


class ContinuousQAgent(Agent):
    """An ensemble of N action-value functions Q_i(s, a).

    Reads `observation_variable` (`[B, observation_size]`) and `action` (`[B, action_size]`) at `t`; writes
    `<prefix>q_values` (`[B, N]`) at `t`. The prefix is "critic/" until `with_prefix` changes it. Of several observation
    variables, N of them, each function reads its own: features that are learned for it alone.
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
        observation_variable: str | Sequence[str] = "env/env_obs",
    ) -> None:
        """Build `n_critics` perceptrons that are evaluated together.

        `observation_choices` (`GymAgent.observation_choices`) are given for observations that are choices, which the
        networks are then given one-hot.

        Raises:
            ConfigError: `hidden_sizes` is empty, or there are several observation variables, but not one for each.
        """
        super().__init__(name)
        self.with_prefix("critic/")
        #: What is read: by all functions, or by each.
        self.observation_variable = observation_variable
        if not isinstance(observation_variable, str) and len(observation_variable) != n_critics:
            raise ConfigError(
                f"{self.description()}: observation_variable: one expected, or one for each of {n_critics} critics, "
                f"{list(observation_variable)} found."
            )
        self.one_hot = one_hot(observation_choices, observation_size, self.description())
        self.model = EnsembleMLP(observation_size + action_size, hidden_sizes, n_critics, activation)

    def forward(self, t: int, **kwargs: Any) -> None:
        """Evaluate the actions at step `t`."""
        variable = self.observation_variable
        if isinstance(variable, str):
            inputs: Tensor | list[Tensor] = self._inputs(variable, t)
        else:
            inputs = [self._inputs(one, t) for one in variable]
        self.set((f"{self.prefix}q_values", t), full_precision(self.model(inputs)))

    def _inputs(self, variable: str, t: int) -> Tensor:
        observation = network_input(self.get((variable, t)), self.one_hot, self, self.model.first.weight)
        action = self.get(("action", t)).to(self.model.first.weight.dtype)
        return torch.cat((observation, action), dim=-1)
