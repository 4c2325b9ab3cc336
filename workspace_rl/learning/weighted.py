"""Means over the rows of a batch that count."""

from __future__ import annotations

from torch import Tensor

from workspace_rl.workspace import Workspace


def batch_mean(x: Tensor, workspace: Workspace, dim: int | None = 0) -> Tensor:
    """Return the mean over the transitions of a batch of x, or of weight times x where `weight` is there.

    Losses take it of what they make of transitions. Rows whose `weight` is 0 do not count: in sequences there are pairs
    of frames that are no transitions, but the end of an episode and the reset that follows (see
    `OffPolicyAlgorithm.transitions`). Other weights are importance weights of windows that were drawn by
    priorities, and scale what their rows add (Schaul et al. 2016, arXiv:1511.05952, section 3.4 and algorithm 1).

    Args:
        x: `[B, ...]`.
        workspace: with `weight` (`[B]`, 0 or more) at 0, or without it, where all count, and equally.
        dim: 0, or None for the mean over all other dimensions, too.

    Returns:
        `[...]`, or a scalar.
    """
    if "weight" not in workspace:
        return x.mean() if dim is None else x.mean(dim)
    return _mean(x, workspace.get("weight", 0), dim)


def plain_mean(x: Tensor, workspace: Workspace, dim: int | None = 0) -> Tensor:
    """Return the mean over the transitions of a batch that count, each as much as any other: what metrics take.

    Args:
        x: `[B, ...]`.
        workspace: as of `batch_mean`.
        dim: 0, or None for the mean over all other dimensions, too.

    Returns:
        `[...]`, or a scalar.
    """
    if "weight" not in workspace:
        return x.mean() if dim is None else x.mean(dim)
    weight = workspace.get("weight", 0)
    return _mean(x, weight.ne(0).to(weight.dtype), dim)


def _mean(x: Tensor, weight: Tensor, dim: int | None) -> Tensor:
    means = (weight.view(-1, *[1] * (x.ndim - 1)) * x).sum(0) / weight.ne(0).sum().clamp(min=1)
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
