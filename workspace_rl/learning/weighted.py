"""Means over the rows of a batch that count."""

from __future__ import annotations

from torch import Tensor


def weighted_mean(x: Tensor, weight: Tensor) -> Tensor:
    """Return the sum of weight times x, divided by the sum of weights; 0 where no row counts.

    Args:
        x: `[T, B]`.
        weight: `[T, B]`, 1 for rows that count and 0 for others, such as those that only carry a reset.
    """
    return (weight * x).sum() / weight.sum().clamp(min=1)


def normalised(x: Tensor, weight: Tensor) -> Tensor:
    """Return x, less its mean, by its standard deviation over the rows that count (see `weighted_mean`)."""
    centred = x - weighted_mean(x, weight)
    # With Bessel's correction, as torch.std has it.
    variance = (weight * centred.square()).sum() / (weight.sum() - 1).clamp(min=1)
    return centred / (variance.sqrt() + 1e-8)
