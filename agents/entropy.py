"""The entropy coefficient of maximum-entropy algorithms, fixed or learned."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class FixedEntropyCoefficient(nn.Module):
    """A constant entropy coefficient alpha."""

    def __init__(self, value: float) -> None:
        """Fix alpha at `value`."""
        super().__init__()
        self.value: Tensor
        self.register_buffer("value", torch.tensor(float(value)))

    def forward(self) -> Tensor:
        """Return alpha, a scalar."""
        return self.value


class LearnedEntropyCoefficient(nn.Module):
    """An entropy coefficient `alpha = exp(log_alpha)` that is learned so that the policy's entropy meets a target."""

    def __init__(self, initial: float, target_entropy: float) -> None:
        """Start at `initial` (positive); `target_entropy` is in nats."""
        super().__init__()
        self.log_alpha = nn.Parameter(torch.tensor(math.log(initial)))
        self.target_entropy = target_entropy

    def forward(self) -> Tensor:
        """Return alpha, a scalar in the graph of `log_alpha`."""
        return self.log_alpha.exp()
