"""The value of states, and features that values and policies may share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

from torch import nn

from workspace_rl.agent import Agent
from workspace_rl.agents.bodies import IMAGE_NETWORKS, build_body
from workspace_rl.agents.networks import first_weight, full_precision, orthogonal
from workspace_rl.agents.observations import network_input, one_hot
from workspace_rl.agents.perceptron_agent import ObservationOptions, PerceptronAgent
from workspace_rl.basics.arguments import checked
from workspace_rl.errors import CompositionError


class ValueAgent(PerceptronAgent):
    """The value V(s) of states.

    Reads the observation at `t`, `[B, observation_size]`, and writes `<prefix>value` (`[B]`); with `t=None` over all of
    time in one call, `[T, B]`. The prefix is empty until `with_prefix` changes it.
    """

    looks_afterwards = True

    def __init__(
        self, observation_size: int, hidden_sizes: Sequence[int], **options: Unpack[ObservationOptions]
    ) -> None:
        """Build a perceptron with one output, whose weights have gain 1; for the options see `PerceptronAgent`."""
        super().__init__(observation_size, hidden_sizes, 1, 1.0, **options)

    def forward(self, t: int | None = None, **kwargs: Any) -> None:
        """Evaluate the states at step `t`, or all of them."""
        self.set(f"{self.prefix}value", t, self.outputs(t).squeeze(-1))


class FeaturesAgent(Agent):
    """A body that policy and value share: what is seen in an observation, learned by both.

    Reads the observation at `t`, `[B, *observation_shape]`, and writes `features` (`[B, n_features]`); with `t=None`
    over all of time in one call. Agents read them with `observation_variable="features"`, `observation_size=n_features`
    and no hidden layers, or few.
    """

    @checked(least={"observation_shape": 1, "hidden_sizes": 1})
    def __init__(
        self,
        observation_shape: Sequence[int],
        hidden_sizes: Sequence[int] | None = None,
        *,
        network: str = "mlp",
        activation: type[nn.Module] | None = None,
        observation_variable: str = "env/env_obs",
        observation_choices: Sequence[Sequence[int]] | None = None,
        features_variable: str = "features",
        name: str | None = None,
    ) -> None:
        """Build the network, with orthogonal weights of gain sqrt 2.

        Args:
            observation_shape: (features,) for `network="mlp"`, (C, H, W) for those of images.
            hidden_sizes: of the linear layers, the last of which is the number of features; None for [256, 256] (mlp),
                [512] (nature_cnn) or [256] (impala_cnn).
            network: "mlp", a perceptron for vectors, or for images "nature_cnn", `NatureCNN`, or "impala_cnn",
                `ImpalaCNN`.
            activation: stands after each layer; None for `Tanh` (mlp) or `ReLU` (those of images).
            observation_variable: what is read.
            observation_choices: for observations that are choices (`GymAgent.observation_choices`), which "mlp" is then
                given one-hot.
            features_variable: what is written.
            name: the agent's name.

        Raises:
            CompositionError: there is no such network, there is nothing in it, or the choices do not make up the
                observation's size.
            UnsupportedSpaceError: the network is not made for observations of this shape.
        """
        super().__init__(name)
        self.observation_variable, self.features_variable = observation_variable, features_variable
        self._takes_images = network in IMAGE_NETWORKS
        if activation is None:
            activation = nn.ReLU if self._takes_images else nn.Tanh
        body, n_features = build_body(observation_shape, hidden_sizes, network, activation, self.description())
        self.body = orthogonal(body, math.sqrt(2))
        #: How many features there are.
        self.n_features = n_features
        if next(body.parameters(), None) is None:
            raise CompositionError(
                f"{self.description()} has nothing to learn with hidden_sizes=[]: give the size of a layer, [64], or "
                "leave the agent out, and let policy and value read the observation itself."
            )
        images = self._takes_images
        self.one_hot = None if images else one_hot(observation_choices, observation_shape[0], self.description())

    def forward(self, t: int | None = None, **kwargs: Any) -> None:
        """Look at the observations of step `t`, or at all of them."""
        observation = self.get(self.observation_variable, t)
        if not self._takes_images:
            leading = 2 if t is None else 1
            observation = network_input(observation, self.one_hot, self, first_weight(self.body), leading)
        self.set(self.features_variable, t, full_precision(self.body(observation)))
