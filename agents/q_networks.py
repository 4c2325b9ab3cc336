"""Action-value functions for discrete actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workspace_rl.agent import Agent
from workspace_rl.agents.networks import build_mlp, first_weight, full_precision
from workspace_rl.agents.observations import OneHot, network_input, one_hot
from workspace_rl.basics.arguments import checked
from workspace_rl.envs.spaces.images import images_with_channels_last
from workspace_rl.errors import CompositionError, UnsupportedSpaceError, did_you_mean

#: The layers of Mnih et al. 2015: filters, kernel size, stride.
NATURE_CONVOLUTIONS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))

#: The hidden layers that follow where none are given.
DEFAULT_HIDDEN_SIZES = {"mlp": (256, 256), "nature_cnn": (512,)}


class NatureCNN(nn.Module):
    """The convolutional network of Mnih et al. 2015, "Human-level control through deep reinforcement learning".

    Maps images `[B, C, H, W]` to features `[B, n_features]`: three convolutions (32 of 8x8 with stride 4, 64 of 4x4
    with stride 2, 64 of 3x3), then linear layers, each followed by the activation. Images of integers (uint8) are
    divided by 255 here; images of floating-point numbers are taken as they are.
    """

    @checked(least={"hidden_sizes": 1})
    def __init__(
        self, image_shape: Sequence[int], hidden_sizes: Sequence[int] = (512,), activation: type[nn.Module] = nn.ReLU
    ) -> None:
        """Build the network for images of `image_shape`, (C, H, W); `hidden_sizes` are those of the linear layers.

        Raises:
            UnsupportedSpaceError: the shape is none of images, or they are too small for the convolutions.
        """
        super().__init__()
        size = _size_after_convolutions(image_shape)
        channels = image_shape[0]
        layers: list[nn.Module] = []
        for filters, kernel, stride in NATURE_CONVOLUTIONS:
            layers += [nn.Conv2d(channels, filters, kernel, stride), activation()]
            channels = filters
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        self.linear = build_mlp([channels * size[0] * size[1], *hidden_sizes], activation, activation)
        # The layout in which convolutions are fastest; shapes stay [B, C, H, W].
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:
        """Return features `[B, n_features]` of images `[B, C, H, W]`."""
        dtype = next(self.parameters()).dtype
        inputs = images.to(dtype, memory_format=torch.channels_last)
        if not images.is_floating_point():
            inputs = inputs / 255
        features: Tensor = self.linear(self.convolutions(inputs))
        return features


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

    Reads `env/env_obs` (`[B, *observation_shape]`) at `t`; writes `<prefix>q_values` (`[B, n_actions]`) at `t`. The
    prefix is "q/" until `with_prefix` changes it. Body and head are modules of their own, so that either can be loaded
    or frozen by itself: `agent.body.requires_grad_(False)`.
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
    ) -> None:
        """Put body and head together.

        Args:
            observation_shape: (features,) for `network="mlp"`, (C, H, W) for `network="nature_cnn"`.
            hidden_sizes: of the body's linear layers; None for [256, 256] (mlp) or [512] (nature_cnn).
            n_actions: the number of choices.
            network: "mlp", a perceptron for vectors, or "nature_cnn", `NatureCNN` for images.
            dueling: whether the head is a `DuelingHead` instead of a perceptron.
            head_hidden_sizes: hidden layers of the head, of each stream if it is dueling. The networks of Wang et al.
                for images are `network="nature_cnn", hidden_sizes=[], head_hidden_sizes=[512], dueling=True`.
            activation: stands after each hidden layer.
            name: the agent's name.
            observation_choices: for observations that are choices (`GymAgent.observation_choices`), which "mlp" is then
                given one-hot.

        Raises:
            CompositionError: there is no such network, or the choices do not make up the observation's size.
            UnsupportedSpaceError: the network is not made for observations of this shape.
        """
        super().__init__(name)
        self.with_prefix("q/")
        default_sizes = _default_hidden_sizes(network, self.description())
        sizes = list(default_sizes if hidden_sizes is None else hidden_sizes)
        self.body: nn.Module
        self.one_hot: OneHot | None = None
        self._takes_images = network == "nature_cnn"
        if self._takes_images:
            self.body = NatureCNN(observation_shape, sizes, activation)
            height, width = _size_after_convolutions(observation_shape)
            features = sizes[-1] if sizes else NATURE_CONVOLUTIONS[-1][0] * height * width
        else:
            if len(observation_shape) != 1:
                raise UnsupportedSpaceError(
                    f"network 'mlp' is for vectors, not for observations of shape {list(observation_shape)}. "
                    "'nature_cnn' is for images."
                )
            self.one_hot = one_hot(observation_choices, observation_shape[0], self.description())
            self.body = build_mlp([observation_shape[0], *sizes], activation, activation)
            features = sizes[-1] if sizes else observation_shape[0]
        self.head: nn.Module
        if dueling:
            self.head = DuelingHead(features, head_hidden_sizes, n_actions, activation)
        else:
            self.head = build_mlp([features, *head_hidden_sizes, n_actions], activation)

    def forward(self, t: int, **kwargs: Any) -> None:
        """Evaluate all actions at step `t`."""
        observation, body, head = self.get(("env/env_obs", t)), self.body, self.head
        if not self._takes_images:
            observation = network_input(observation, self.one_hot, self, first_weight(body, head))
        q_values = head(body(observation))
        self.set((f"{self.prefix}q_values", t), full_precision(q_values))


def _default_hidden_sizes(network: str, who: str) -> tuple[int, ...]:
    if network not in DEFAULT_HIDDEN_SIZES:
        known = " or ".join(repr(one) for one in DEFAULT_HIDDEN_SIZES)
        raise CompositionError(
            f"{who} knows the networks {known}, {network!r} was given.{did_you_mean(network, DEFAULT_HIDDEN_SIZES)}"
        )
    return DEFAULT_HIDDEN_SIZES[network]


def _size_after_convolutions(image_shape: Sequence[int]) -> tuple[int, int]:
    """Return height and width of what the last convolution gives."""
    if len(image_shape) != 3:
        raise UnsupportedSpaceError(
            f"network 'nature_cnn' is for images of shape (channels, height, width), not {tuple(image_shape)}. "
            f"'mlp' is for vectors.{images_with_channels_last(image_shape)}"
        )
    height, width = image_shape[1:]
    for _, kernel, stride in NATURE_CONVOLUTIONS:
        height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
    if height < 1 or width < 1:
        raise UnsupportedSpaceError(
            f"network 'nature_cnn' needs images of at least 36 x 36 pixels, channels first, not {tuple(image_shape)}."
            f"{images_with_channels_last(image_shape)}"
        )
    return height, width
