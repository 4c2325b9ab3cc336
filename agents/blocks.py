"""Networks of hidden layers of one kind: plain ones, normalised ones, residual ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from workspace_rl.agents.batch_renorm import BatchRenorm
from workspace_rl.agents.networks import OutputLayer, build_mlp, orthogonal
from workspace_rl.basics.arguments import checked
from workspace_rl.config import BLOCKS
from workspace_rl.errors import ConfigError, did_you_mean


class Dropout(nn.Module):
    """Leaves out each number with a probability, in training mode, and makes the others as much greater.

    As `torch.nn.Dropout`, but torch's generator is asked for one seed only: on a CPU, drawing for each number takes as
    long as the layer's product. What decides on a number is a hash of the seed and of its place, as in generators that
    count (Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3").
    """

    def __init__(self, probability: float) -> None:
        """Leave out numbers with `probability`."""
        super().__init__()
        #: Of 2^31 hashes, how many leave a number out.
        self.n_left_out = round(probability * 2**31)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[..., N]` of `[..., N]`."""
        if not self.training or not self.n_left_out:
            return features
        seed = torch.randint(-(2**31), 2**31 - 1, (2,), dtype=torch.int32, device=features.device)
        places = torch.arange(features.numel(), dtype=torch.int32, device=features.device).view(features.shape)
        kept = (_hashed(places, seed) & 0x7FFFFFFF) >= self.n_left_out
        return torch.where(kept, features / (1 - self.n_left_out / 2**31), 0.0)

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"{self.n_left_out / 2**31:.4g}"


def _hashed(x: Tensor, seed: Tensor) -> Tensor:
    """Return numbers that look random, int32 for int32: each bit of the result depends on all bits of `x` and `seed`.

    The multipliers and shifts are Wellons' "lowbias32" (2018), which he found by search; `seed` (`[2]`) is ours. Shifts
    drag the sign along, so it is masked.
    """
    x = x ^ seed[0]
    x = (x ^ ((x >> 16) & 0xFFFF)) * 0x7FEB352D + seed[1]
    x = (x ^ ((x >> 15) & 0x1FFFF)) * (0x846CA68B - 2**32)
    return x ^ ((x >> 16) & 0xFFFF)


class ResidualMLPBlock(nn.Module):
    """Adds to features what a perceptron makes of them once they are normalised: `x + W2 relu(W1 norm(x))`.

    Of Lee et al. 2025, "SimBa" (arXiv:2410.09754), section 4: the hidden layer of the perceptron is 4 times as wide.
    """

    def __init__(self, width: int, activation: type[nn.Module] = nn.ReLU) -> None:
        """Build it for `width` features."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), activation(), nn.Linear(4 * width, width)
        )
        for layer in (self.layers[1], self.layers[3]):
            nn.init.kaiming_normal_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Return `[B, width]` of `[B, width]`."""
        changed: Tensor = self.layers(features)
        return features + changed


@checked(least={"inputs": 1, "hidden_sizes": 1, "n_outputs": 1, "dropout": 0})
def build_network(
    inputs: int,
    hidden_sizes: Sequence[int],
    n_outputs: int | None = None,
    *,
    block: str = "plain",
    dropout: float = 0.0,
    activation: type[nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """Return a network `[B, inputs]` to `[B, n_outputs]`.

    Args:
        inputs: numbers that go in.
        hidden_sizes: of the hidden layers; of "residual" ones, which are all of the same width, one for each block.
        n_outputs: numbers that come out of a last layer; None for the features of the last hidden one.
        block: what each hidden layer is:
            "plain": a linear layer, then the activation.
            "layer_norm": a linear layer, dropout, normalisation (Ba et al. 2016), then the activation, as in DroQ
            (Hiraoka et al. 2022, arXiv:2110.02034).
            "residual": a `ResidualMLPBlock`, after a linear layer that makes the inputs as wide, and before a last
            normalisation, as in SimBa, with its initial weights: orthogonal ones, and in blocks He et al. 2015's.
            Inputs are to be normalised (`normalize_observations`).
            "batch_renorm": a `BatchRenorm`, a linear layer, dropout, then the activation; a `BatchRenorm` follows the
            last one, as in CrossQ. Rows are normalised by those they share a batch with, so that it matters which.
        dropout: the probability with which each hidden number is left out while modules are in training mode; the
            others are then made as much greater.
        activation: its class.

    Raises:
        ConfigError: there is no such block, or it cannot be built like this.
    """
    if block not in BLOCKS:
        raise ConfigError(f"block: one of {', '.join(BLOCKS)} expected, {block!r} found.{did_you_mean(block, BLOCKS)}")
    if dropout >= 1:
        raise ConfigError(f"dropout: less than 1 expected, {dropout} found.")
    outputs = [] if n_outputs is None else [n_outputs]
    width = hidden_sizes[-1] if hidden_sizes else inputs
    if block == "residual":
        layers = _residual(inputs, hidden_sizes, dropout, activation)
    elif block == "plain" and not dropout:
        return build_mlp([inputs, *hidden_sizes, *outputs], activation, None if outputs else activation)
    else:
        layers = []
        for size_in, size_out in pairwise([inputs, *hidden_sizes]):
            layers += [BatchRenorm(size_in)] if block == "batch_renorm" else []
            layers += [nn.Linear(size_in, size_out), *([Dropout(dropout)] if dropout else [])]
            layers += [nn.LayerNorm(size_out)] if block == "layer_norm" else []
            layers.append(activation())
        layers += [BatchRenorm(width)] if block == "batch_renorm" else []
    return nn.Sequential(*layers, *(build_head(width, one, block) for one in outputs))


def build_head(width: int, n_outputs: int, block: str) -> OutputLayer:
    """Return the linear layer that makes outputs of the features of a network of such blocks."""
    layer = OutputLayer(width, n_outputs)
    return orthogonal(layer, 1.0) if block == "residual" else layer


def _residual(inputs: int, hidden_sizes: Sequence[int], dropout: float, activation: type[nn.Module]) -> list[nn.Module]:
    if len(set(hidden_sizes)) != 1:
        raise ConfigError(
            f"hidden_sizes: sizes that are all the same expected of residual blocks, {list(hidden_sizes)} found: each "
            "adds to what it gets."
        )
    if dropout:
        raise ConfigError(f"dropout: 0 expected with residual blocks, {dropout} found.")
    width = hidden_sizes[0]
    first = orthogonal(nn.Linear(inputs, width), 1.0)
    return [first, *(ResidualMLPBlock(width, activation) for _ in hidden_sizes), nn.LayerNorm(width)]
