"""Means over the rows of a batch that count."""

from __future__ import annotations

from torch import Tensor

from workspace_rl.workspace import Workspace


def batch_mean(x: Tensor, workspace: Workspace, dim: int | None = 0) -> Tensor:
    """Return the mean over the transitions of a batch: over those alone that count, where `weight` tells them.

    Losses take it of what they make of transitions, and metrics too: in sequences there are pairs of frames that are no
    transitions, but the end of an episode and the reset that follows (see `OffPolicyAlgorithm.transitions`).

    Args:
        x: `[B, ...]`.
        workspace: with `weight` (`[B]`) at 0, 1 for transitions and 0 for others, or without it, where all count.
        dim: 0, or None for the mean over all other dimensions, too.

    Returns:
        `[...]`, or a scalar.
    """
    if "weight" not in workspace:
        return x.mean() if dim is None else x.mean(dim)
    weight = workspace.get("weight", 0)
    means = (weight.view(-1, *[1] * (x.ndim - 1)) * x).sum(0) / weight.sum().clamp(min=1)
    return means.mean() if dim is None else means


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
