"""What becomes of one part of an observation: a network for each kind of parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from workspace_rl.agents.bodies import IMAGE_NETWORKS
from workspace_rl.agents.networks import build_mlp
from workspace_rl.agents.observations import OneHot
from workspace_rl.envs.spaces.parts import Part
from workspace_rl.errors import UnsupportedSpaceError


class PictureNetwork(nn.Module):
    """A convolutional network over pictures `[*L, C, H, W]`, or stacks of them, `[*L, S, C, H, W]`."""

    def __init__(self, part: Part, network: str, hidden_sizes: Sequence[int], activation: type[nn.Module]) -> None:
        """Build it for the pictures of a part.

        Raises:
            UnsupportedSpaceError: they are too small for the network.
        """
        super().__init__()
        *channels, height, width = part["shape"]
        self.stacked = len(channels) > 1
        try:
            self.network = IMAGE_NETWORKS[network]([math.prod(channels), height, width], hidden_sizes, activation)
        except UnsupportedSpaceError as error:
            raise UnsupportedSpaceError(
                f"the encoder of {part['variable']!r}, pictures of shape {part['shape']}: {error} "
                "(algorithm.architecture.encoder.images)"
            ) from None
        self.n_features = self.network.n_features

    def forward(self, pictures: Tensor, leading: int) -> Tensor:
        """Return features, `[*L, n_features]`; L has `leading` dimensions."""
        features: Tensor = self.network(pictures.flatten(leading, leading + 1) if self.stacked else pictures)
        return features


class ChoicesNetwork(nn.Module):
    """Zeros and ones for choices, `[*L, ...]` whole numbers, and layers over them."""

    def __init__(self, part: Part, hidden_sizes: Sequence[int], activation: type[nn.Module]) -> None:
        """Build it for the choices of a part."""
        super().__init__()
        choices = part["choices"] or []
        self.one_hot = OneHot(choices)
        size = sum(count for _, count in choices)
        self.layers = build_mlp([size, *hidden_sizes], activation, activation)
        self.n_features = hidden_sizes[-1] if hidden_sizes else size

    def forward(self, choices: Tensor, leading: int) -> Tensor:
        """Return features, `[*L, n_features]`; L has `leading` dimensions."""
        features: Tensor = self.layers(self.one_hot(choices, leading))
        return features


class NumbersNetwork(nn.Module):
    """Numbers as they are, `[*L, ...]`, side by side in one dimension, and layers over them."""

    like: Tensor

    def __init__(self, part: Part, hidden_sizes: Sequence[int], activation: type[nn.Module]) -> None:
        """Build it for the numbers of a part."""
        super().__init__()
        self.n_inputs = math.prod(part["shape"])
        self.layers = build_mlp([self.n_inputs, *hidden_sizes], activation, activation)
        self.n_features = hidden_sizes[-1] if hidden_sizes else self.n_inputs
        # Has the type of number that `agent.double()` and the like give to all weights.
        self.register_buffer("like", torch.zeros(1), persistent=False)

    def forward(self, numbers: Tensor, leading: int) -> Tensor:
        """Return features, `[*L, n_features]`; L has `leading` dimensions."""
        flat = numbers.reshape(*numbers.shape[:leading], self.n_inputs)
        features: Tensor = self.layers(flat.to(self.like.dtype))
        return features
