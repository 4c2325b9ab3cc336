"""Linear layers with noise that is learned: networks that explore by what they do not know yet."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from workspace_rl.basics.arguments import checked


class NoisyLinear(nn.Linear):
    """A linear layer whose weights and biases are drawn at each call (Fortunato et al. 2018, arXiv:1706.10295).

        y = (W + S_W * f(e_out) f(e_in)^T) x + b + S_b * f(e_out),   f(e) = sgn(e) sqrt(|e|)

    (equations 9 to 11, factorised noise), where e_in and e_out are Gaussian, one number for each input and each output;
    W, b and the sizes of the noise, S_W and S_b, are learned. Noise is drawn from torch's global generator: in training
    mode, that is in updates, once for all rows of a batch, as in the paper; in evaluation mode, that is in acting, for
    each row, so that environments do not explore in the same way. `stochastic=False` leaves it out.
    """

    @checked(least={"in_features": 1, "out_features": 1, "noise_size": 0})
    def __init__(self, in_features: int, out_features: int, noise_size: float = 0.5) -> None:
        """Draw W and b as `torch.nn.Linear` does; S_W and S_b begin with `noise_size` / sqrt(in_features)."""
        super().__init__(in_features, out_features)
        size = noise_size / math.sqrt(in_features)
        #: S_W, `[out_features, in_features]`.
        self.weight_noise = nn.Parameter(torch.full((out_features, in_features), size))
        #: S_b, `[out_features]`.
        self.bias_noise = nn.Parameter(torch.full((out_features,), size))

    def forward(self, input: Tensor, stochastic: bool = True) -> Tensor:
        """Return `[..., out_features]` of `[..., in_features]`, by weights that are drawn, or by their means."""
        output = functional.linear(input, self.weight, self.bias)
        if not stochastic:
            return output
        rows = () if self.training else input.shape[:-1]
        noise_in, noise_out = _factor(input, rows, self.in_features), _factor(input, rows, self.out_features)
        # The noise of the weights is never written down, so that each row may have its own.
        return output + noise_out * functional.linear(noise_in * input, self.weight_noise, self.bias_noise)


class NoisySequential(nn.Sequential):
    """Layers one after the other, of which the noisy ones are told whether to draw."""

    def forward(self, input: Any, stochastic: bool = True) -> Any:
        """Return what the last layer makes of what the ones before it made of `input`."""
        for layer in self:
            input = layer(input, stochastic) if isinstance(layer, NoisyLinear) else layer(input)
        return input


def _factor(like: Tensor, rows: tuple[int, ...], size: int) -> Tensor:
    """Return f(e) of new Gaussian numbers, `[*rows, size]`."""
    noise = torch.randn((*rows, size), dtype=like.dtype, device=like.device)
    return noise.sign() * noise.abs().sqrt()
