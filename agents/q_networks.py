"""Action-value functions for discrete actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from workspace_rl.agent import Agent
from workspace_rl.agents.bodies import IMAGE_NETWORKS, build_body
from workspace_rl.agents.networks import build_mlp, first_weight, full_precision
from workspace_rl.agents.observations import network_input, one_hot
from workspace_rl.basics.arguments import checked


class DuelingHead(nn.Module):
    """A value and an advantage stream, put together by equation 9 of Wang et al. 2016 (arXiv:1511.06581).

    Q(s, a) = V(s) + (A(s, a) - mean_a' A(s, a'))
    """

    @checked(least={"features": 1, "hidden_sizes": 1, "n_actions": 1})
    def __init__(
        self, features: int, hidden_sizes: Sequence[int], n_actions: int, activation: type[nn.Module] = nn.ReLU
    ) -> None:
        """Build two perceptrons with `hidden_sizes` over `features` inputs."""
        super().__init__()
        self.value = build_mlp([features, *hidden_sizes, 1], activation)
        self.advantage = build_mlp([features, *hidden_sizes, n_actions], activation)

    def forward(self, features: Tensor) -> Tensor:
        """Return action values `[B, n_actions]` of features `[B, features]`."""
        advantage = self.advantage(features)
        q_values: Tensor = self.value(features) + (advantage - advantage.mean(-1, keepdim=True))
        return q_values


class DiscreteQAgent(Agent):
    """The values Q(s, a) of all actions: a `body`, which turns observations into features, and a `head` on top of it.

    Reads `observation_variable` (`[B, *observation_shape]`) at `t`; writes `<prefix>q_values` (`[B, n_actions]`) at
    `t`. The prefix is "q/" until `with_prefix` changes it. Body and head are modules of their own, so that either can
    be loaded or frozen by itself: `agent.body.requires_grad_(False)`.
    """

    @checked(least={"observation_shape": 1, "hidden_sizes": 1, "n_actions": 1, "head_hidden_sizes": 1})
    def __init__(
        self,
        observation_shape: Sequence[int],
        hidden_sizes: Sequence[int] | None,
        n_actions: int,
        network: str = "mlp",
        dueling: bool = False,
        head_hidden_sizes: Sequence[int] = (),
        activation: type[nn.Module] = nn.ReLU,
        name: str | None = None,
        observation_choices: Sequence[Sequence[int]] | None = None,
        observation_variable: str = "env/env_obs",
    ) -> None:
        """Put body and head together.

        Args:
            observation_shape: (features,) for `network="mlp"`, (C, H, W) for those of images.
            hidden_sizes: of the body's linear layers; None for [256, 256] (mlp), [512] (nature_cnn) or [256]
                (impala_cnn).
            n_actions: the number of choices.
            network: "mlp", a perceptron for vectors, or for images "nature_cnn", `NatureCNN`, or "impala_cnn",
                `ImpalaCNN`.
            dueling: whether the head is a `DuelingHead` instead of a perceptron.
            head_hidden_sizes: hidden layers of the head, of each stream if it is dueling. The networks of Wang et al.
                for images are `network="nature_cnn", hidden_sizes=[], head_hidden_sizes=[512], dueling=True`.
            activation: stands after each hidden layer.
            name: the agent's name.
            observation_choices: for observations that are choices (`GymAgent.observation_choices`), which "mlp" is then
                given one-hot.
            observation_variable: the variable that observations are read from.

        Raises:
            CompositionError: there is no such network, or the choices do not make up the observation's size.
            UnsupportedSpaceError: the network is not made for observations of this shape.
        """
        super().__init__(name)
        self.with_prefix("q/")
        self.observation_variable = observation_variable
        images = network in IMAGE_NETWORKS
        self.body, features = build_body(observation_shape, hidden_sizes, network, activation, self.description())
        self.one_hot = None if images else one_hot(observation_choices, observation_shape[0], self.description())
        self._takes_images = images
        self.head: nn.Module
        if dueling:
            self.head = DuelingHead(features, head_hidden_sizes, n_actions, activation)
        else:
            self.head = build_mlp([features, *head_hidden_sizes, n_actions], activation)

    def forward(self, t: int, **kwargs: Any) -> None:
        """Evaluate all actions at step `t`."""
        observation, body, head = self.get((self.observation_variable, t)), self.body, self.head
        if not self._takes_images:
            observation = network_input(observation, self.one_hot, self, first_weight(body, head))
        q_values = head(body(observation))
        self.set((f"{self.prefix}q_values", t), full_precision(q_values))
