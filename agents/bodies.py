"""Bodies: networks that turn observations into features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from workspace_rl.agents.networks import build_mlp
from workspace_rl.basics.arguments import checked
from workspace_rl.envs.spaces.images import images_with_channels_last, shape_has_channels_last
from workspace_rl.errors import CompositionError, UnsupportedSpaceError, did_you_mean

#: The layers of Mnih et al. 2015: filters, kernel size, stride.
NATURE_CONVOLUTIONS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))

#: The stages of Espeholt et al. 2018, by their filters.
IMPALA_FILTERS = (16, 32, 32)


class ImageNetwork(nn.Module):
    """Base class of networks for images: `convolutions`, then linear layers, each followed by the activation.

    They map images `[B, C, H, W]` to features `[B, n_features]`. Images of integers (uint8) are divided by 255 here;
    images of floating-point numbers are taken as they are.
    """

    def __init__(
        self,
        convolutions: nn.Module,
        n_outputs: int,
        hidden_sizes: Sequence[int],
        activation: type[nn.Module],
        noisy: bool,
    ) -> None:
        """Put `convolutions`, which give `[B, n_outputs]`, and linear layers together, `NoisyLinear` if `noisy`."""
        super().__init__()
        self.convolutions = convolutions
        self.linear = build_mlp([n_outputs, *hidden_sizes], activation, activation, noisy=noisy)
        #: How many features there are.
        self.n_features = hidden_sizes[-1] if hidden_sizes else n_outputs
        # The layout in which convolutions are fastest; shapes stay [B, C, H, W].
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor, **noise: bool) -> Tensor:
        """Return features `[B, n_features]` of images `[B, C, H, W]`, or `[T, B, n_features]` of `[T, B, C, H, W]`.

        Noisy ones are told by `stochastic` whether to draw.
        """
        if images.ndim > 4:
            of_all: Tensor = self(images.flatten(0, -4), **noise).unflatten(0, images.shape[:-3])
            return of_all
        dtype = next(self.parameters()).dtype
        inputs = images.to(dtype, memory_format=torch.channels_last)
        if not images.is_floating_point():
            inputs = inputs / 255
        features: Tensor = self.linear(self.convolutions(inputs), **noise)
        return features


class NatureCNN(ImageNetwork):
    """The convolutional network of Mnih et al. 2015, "Human-level control through deep reinforcement learning".

    Maps images `[B, C, H, W]` to features `[B, n_features]`: three convolutions (32 of 8x8 with stride 4, 64 of 4x4
    with stride 2, 64 of 3x3), then linear layers, each followed by the activation. Images of integers (uint8) are
    divided by 255 here; images of floating-point numbers are taken as they are.
    """

    @checked(least={"image_shape": 1, "hidden_sizes": 1})
    def __init__(
        self,
        image_shape: Sequence[int],
        hidden_sizes: Sequence[int] = (512,),
        activation: type[nn.Module] = nn.ReLU,
        *,
        noisy: bool = False,
    ) -> None:
        """Build the network for images of `image_shape`, (C, H, W); `hidden_sizes` are those of the linear layers.

        These are `NoisyLinear` if `noisy`.

        Raises:
            UnsupportedSpaceError: the shape is none of images, or they are too small for the convolutions.
        """
        channels, height, width = _checked_images(image_shape, "nature_cnn")
        layers: list[nn.Module] = []
        for filters, kernel, stride in NATURE_CONVOLUTIONS:
            layers += [nn.Conv2d(channels, filters, kernel, stride), activation()]
            height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
            channels = filters
        if height < 1 or width < 1:
            raise UnsupportedSpaceError(
                f"network 'nature_cnn' needs images of at least 36 x 36 pixels, channels first, not "
                f"{tuple(image_shape)}. 'impala_cnn' is for small ones, too.{images_with_channels_last(image_shape)}"
            )
        convolutions = nn.Sequential(*layers, nn.Flatten())
        super().__init__(convolutions, channels * height * width, hidden_sizes, activation, noisy)


class ImpalaCNN(ImageNetwork):
    """The residual network of Espeholt et al. 2018, "IMPALA" (arXiv:1802.01561, figure 3, right).

    Maps images `[B, C, H, W]`, of any size, to features `[B, n_features]`. Three stages with 16, 32 and 32 filters,
    each a 3x3 convolution, a 3x3 max-pooling with stride 2, and two residual blocks, which add two 3x3 convolutions of
    what they get to it; then linear layers, each followed by the activation. Images of integers (uint8) are divided by
    255 here; images of floating-point numbers are taken as they are.
    """

    @checked(least={"image_shape": 1, "hidden_sizes": 1})
    def __init__(
        self,
        image_shape: Sequence[int],
        hidden_sizes: Sequence[int] = (256,),
        activation: type[nn.Module] = nn.ReLU,
        *,
        noisy: bool = False,
    ) -> None:
        """Build the network for images of `image_shape`, (C, H, W); `hidden_sizes` are those of the linear layers.

        These are `NoisyLinear` if `noisy`.

        Raises:
            UnsupportedSpaceError: the shape is none of images.
        """
        channels, height, width = _checked_images(image_shape, "impala_cnn")
        stages: list[nn.Module] = []
        for filters in IMPALA_FILTERS:
            stages += [
                nn.Conv2d(channels, filters, 3, padding=1),
                nn.MaxPool2d(3, stride=2, padding=1),
                ResidualBlock(filters, activation),
                ResidualBlock(filters, activation),
            ]
            channels, height, width = filters, (height + 1) // 2, (width + 1) // 2
        convolutions = nn.Sequential(*stages, activation(), nn.Flatten())
        super().__init__(convolutions, channels * height * width, hidden_sizes, activation, noisy)


class ResidualBlock(nn.Module):
    """Adds to what it gets, `[B, C, H, W]`, two 3x3 convolutions of it, each after an activation."""

    def __init__(self, channels: int, activation: type[nn.Module]) -> None:
        """Build it for `channels` channels."""
        super().__init__()
        self.layers = nn.Sequential(
            activation(),
            nn.Conv2d(channels, channels, 3, padding=1),
            activation(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return `[B, C, H, W]` of `[B, C, H, W]`."""
        changed: Tensor = self.layers(images)
        return images + changed


#: Networks for images by the names that configurations give them.
IMAGE_NETWORKS: dict[str, type[NatureCNN] | type[ImpalaCNN]] = {"nature_cnn": NatureCNN, "impala_cnn": ImpalaCNN}

#: The hidden layers that follow where none are given.
DEFAULT_HIDDEN_SIZES = {"mlp": (256, 256), "nature_cnn": (512,), "impala_cnn": (256,)}


def build_body(
    observation_shape: Sequence[int],
    hidden_sizes: Sequence[int] | None,
    network: str,
    activation: type[nn.Module],
    who: str,
    *,
    noisy: bool = False,
) -> tuple[nn.Module, int]:
    """Return a body, and how many features it gives.

    Args:
        observation_shape: (features,) for `network="mlp"`, (C, H, W) for those of images.
        hidden_sizes: of the linear layers; None for [256, 256] (mlp), [512] (nature_cnn) or [256] (impala_cnn).
        network: "mlp", a perceptron for vectors, or for images "nature_cnn", `NatureCNN`, or "impala_cnn", `ImpalaCNN`.
        activation: stands after each layer.
        who: describes the agent whose body it is.
        noisy: whether linear layers are `NoisyLinear`; the body is then told by `stochastic` whether to draw.

    Raises:
        CompositionError: there is no such network.
        UnsupportedSpaceError: the network is not made for observations of this shape.
    """
    default_sizes = _default_hidden_sizes(network, who)
    sizes = list(default_sizes if hidden_sizes is None else hidden_sizes)
    if network in IMAGE_NETWORKS:
        body = IMAGE_NETWORKS[network](observation_shape, sizes, activation, noisy=noisy)
        return body, body.n_features
    if len(observation_shape) != 1:
        raise UnsupportedSpaceError(
            f"network 'mlp' is for vectors, not for observations of shape {list(observation_shape)}. "
            "'nature_cnn' is for images, and so is 'impala_cnn'."
        )
    inputs = observation_shape[0]
    return build_mlp([inputs, *sizes], activation, activation, noisy=noisy), sizes[-1] if sizes else inputs


def _default_hidden_sizes(network: str, who: str) -> tuple[int, ...]:
    if network not in DEFAULT_HIDDEN_SIZES:
        *known, last = (repr(one) for one in DEFAULT_HIDDEN_SIZES)
        raise CompositionError(
            f"{who} knows the networks {', '.join(known)} and {last}, {network!r} was given."
            f"{did_you_mean(network, DEFAULT_HIDDEN_SIZES)}"
        )
    return DEFAULT_HIDDEN_SIZES[network]


def _checked_images(image_shape: Sequence[int], network: str) -> tuple[int, int, int]:
    """Return channels, height and width."""
    if len(image_shape) != 3:
        raise UnsupportedSpaceError(
            f"network {network!r} is for images of shape (channels, height, width), not {tuple(image_shape)}. "
            f"'mlp' is for vectors.{images_with_channels_last(image_shape)}"
        )
    if shape_has_channels_last(image_shape):
        raise UnsupportedSpaceError(
            f"network {network!r} is for images with channels first, not {tuple(image_shape)}."
            f"{images_with_channels_last(image_shape)}"
        )
    channels, height, width = image_shape
    return channels, height, width
