"""Agents that look at the observation through a perceptron, at a step or over all of time at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

from torch import Tensor, nn

from workspace_rl.agent import Agent
from workspace_rl.agents.networks import OutputLayer, build_mlp, full_precision, orthogonal, run_layers
from workspace_rl.agents.observations import network_input, one_hot
from workspace_rl.basics.arguments import checked


class ObservationOptions(TypedDict, total=False):
    """What such an agent may be told besides its sizes (see `PerceptronAgent`)."""

    activation: type[nn.Module]
    observation_variable: str
    observation_choices: Sequence[Sequence[int]] | None
    name: str | None


class PerceptronAgent(Agent):
    """Base class of policies and values: hidden layers, `body`, and a linear layer, `head`, over an observation."""

    @checked(least={"observation_size": 1, "hidden_sizes": 1, "n_outputs": 1})
    def __init__(
        self,
        observation_size: int,
        hidden_sizes: Sequence[int],
        n_outputs: int,
        gain: float,
        *,
        activation: type[nn.Module] = nn.Tanh,
        observation_variable: str = "env/env_obs",
        observation_choices: Sequence[Sequence[int]] | None = None,
        name: str | None = None,
    ) -> None:
        """Build the perceptron with orthogonal weights, of gain sqrt 2 in hidden layers.

        Args:
            observation_size: how many numbers it reads.
            hidden_sizes: of its hidden layers; none where it reads the features of another agent.
            n_outputs: how many numbers it gives.
            gain: of the last layer's weights.
            activation: stands after each hidden layer.
            observation_variable: what is read, `[B, observation_size]`.
            observation_choices: for observations that are choices (`GymAgent.observation_choices`), which the network
                is then given one-hot.
            name: the agent's name.

        Raises:
            CompositionError: the choices do not make up the observation's size.
        """
        super().__init__(name)
        self.observation_variable = observation_variable
        self.one_hot = one_hot(observation_choices, observation_size, self.description())
        self.body = orthogonal(build_mlp([observation_size, *hidden_sizes], activation, activation), math.sqrt(2))
        width = hidden_sizes[-1] if hidden_sizes else observation_size
        self.head = orthogonal(OutputLayer(width, n_outputs), gain)

    def features(self, t: int | None) -> Tensor:
        """Return what the head reads at step `t`, `[B, width]`, or, with `t=None`, at all steps, `[T, B, width]`."""
        observation = self.get(self.observation_variable, t)
        leading = 2 if t is None else 1
        return run_layers(self.body, network_input(observation, self.one_hot, self, self.head.weight, leading))

    def outputs(self, t: int | None) -> Tensor:
        """Return what the head gives at step `t`, `[B, n_outputs]`, or, with `t=None`, at all steps."""
        return full_precision(run_layers(self.head, self.features(t)))
