"""The entropy coefficient of maximum-entropy algorithms, fixed or learned."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from workspace_rl.basics.arguments import checked
from workspace_rl.basics.plain_data import finite_number


class FixedEntropyCoefficient(nn.Module):
    """A constant entropy coefficient alpha."""

    @checked(least={"value": 0})
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

    @checked()
    def __init__(self, initial: float, target_entropy: float) -> None:
        """Start at `initial` (positive); `target_entropy` is in nats."""
        super().__init__()
        self.log_alpha = nn.Parameter(torch.tensor(math.log(finite_number(initial, "initial", above=0))))
        self.target_entropy = target_entropy

    def forward(self) -> Tensor:
        """Return alpha, a scalar in the graph of `log_alpha`."""
        return self.log_alpha.exp()
