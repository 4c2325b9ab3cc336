"""Bodies: networks that turn observations into features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from workspace_rl.agents.networks import build_mlp
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
        """Return features `[B, n_features]` of images `[B, C, H, W]`, or `[T, B, n_features]` of `[T, B, C, H, W]`."""
        if images.ndim > 4:
            of_all: Tensor = self(images.flatten(0, -4)).unflatten(0, images.shape[:-3])
            return of_all
        dtype = next(self.parameters()).dtype
        inputs = images.to(dtype, memory_format=torch.channels_last)
        if not images.is_floating_point():
            inputs = inputs / 255
        features: Tensor = self.linear(self.convolutions(inputs))
        return features


def build_body(
    observation_shape: Sequence[int],
    hidden_sizes: Sequence[int] | None,
    network: str,
    activation: type[nn.Module],
    who: str,
) -> tuple[nn.Module, int]:
    """Return a body, and how many features it gives.

    Args:
        observation_shape: (features,) for `network="mlp"`, (C, H, W) for `network="nature_cnn"`.
        hidden_sizes: of the linear layers; None for [256, 256] (mlp) or [512] (nature_cnn).
        network: "mlp", a perceptron for vectors, or "nature_cnn", `NatureCNN` for images.
        activation: stands after each layer.
        who: describes the agent whose body it is.

    Raises:
        CompositionError: there is no such network.
        UnsupportedSpaceError: the network is not made for observations of this shape.
    """
    default_sizes = _default_hidden_sizes(network, who)
    sizes = list(default_sizes if hidden_sizes is None else hidden_sizes)
    if network == "nature_cnn":
        body = NatureCNN(observation_shape, sizes, activation)
        height, width = _size_after_convolutions(observation_shape)
        return body, sizes[-1] if sizes else NATURE_CONVOLUTIONS[-1][0] * height * width
    if len(observation_shape) != 1:
        raise UnsupportedSpaceError(
            f"network 'mlp' is for vectors, not for observations of shape {list(observation_shape)}. "
            "'nature_cnn' is for images."
        )
    inputs = observation_shape[0]
    return build_mlp([inputs, *sizes], activation, activation), sizes[-1] if sizes else inputs


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
