"""Action-value functions for continuous actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workspace_rl.agent import Agent
from workspace_rl.agents.ensembles import make_ensemble
from workspace_rl.agents.networks import full_precision
from workspace_rl.agents.observations import network_input, one_hot
from workspace_rl.basics.arguments import checked
from workspace_rl.errors import ConfigError


class ContinuousQAgent(Agent):
    """An ensemble of N action-value functions Q_i(s, a).

    Reads `observation_variable` (`[B, observation_size]`) and `action` (`[B, action_size]`) at `t`; writes
    `<prefix>q_values` (`[B, N]`) at `t`. With `t=None` all of these are those of all steps, `[T, B, ...]`, in one pass.
    The prefix is "critic/" until `with_prefix` changes it. Of several observation variables, N of them, each function
    reads its own: features that are learned for it alone.

    With `n_quantiles`, M, each function is a distribution of returns Z_i(s, a), given by M equally likely values
    (Dabney et al. 2018, arXiv:1710.10044): `<prefix>quantiles` (`[B, N, M]`) is written, too, and Q_i(s, a) is their
    mean.
    """

    @checked(least={"observation_size": 1, "hidden_sizes": 1, "action_size": 1, "n_critics": 1, "n_quantiles": 1})
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
        *,
        n_quantiles: int | None = None,
        block: str = "plain",
        dropout: float = 0.0,
    ) -> None:
        """Build `n_critics` networks that are evaluated together.

        Args:
            observation_size: how many numbers an observation has.
            hidden_sizes: of the hidden layers of each.
            action_size: how many numbers an action has.
            n_critics: N.
            activation: stands after each hidden layer.
            name: the agent's name.
            observation_choices: for observations that are choices (`GymAgent.observation_choices`), which the networks
                are then given one-hot.
            observation_variable: what is read, by all functions, or by each.
            n_quantiles: M, the values of each return distribution; None for plain values.
            block: what hidden layers are made of (see `build_network`).
            dropout: how many of their numbers are left out in training mode.

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
        self.n_quantiles = n_quantiles
        self.model = make_ensemble(
            observation_size + action_size,
            hidden_sizes,
            n_critics,
            activation,
            n_quantiles,
            block=block,
            dropout=dropout,
        )

    def forward(self, t: int | None = None, **kwargs: Any) -> None:
        """Evaluate the actions at step `t`; with `t=None` those of all steps."""
        variable = self.observation_variable
        if isinstance(variable, str):
            inputs: Tensor | list[Tensor] = self._inputs(variable, t)
        else:
            inputs = [self._inputs(one, t) for one in variable]
        values = full_precision(self.model(inputs))
        if self.n_quantiles is not None:
            self.set(f"{self.prefix}quantiles", t, values)
            values = values.mean(-1)
        self.set(f"{self.prefix}q_values", t, values)

    def _inputs(self, variable: str, t: int | None) -> Tensor:
        leading = 2 if t is None else 1
        observation = network_input(self.get(variable, t), self.one_hot, self, self.model.weight, leading)
        action = self.get("action", t).to(self.model.weight.dtype)
        return torch.cat((observation, action), dim=-1)
