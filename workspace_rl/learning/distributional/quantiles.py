"""Distributions given by quantiles, and what they learn from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def quantile_huber_loss(quantiles: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of each quantile, `[..., M]`, averaged over targets (Dabney et al. 2018, arXiv:1710.10044).

    With u = target - quantile, and H(u) = u^2 / 2 for |u| < 1 and |u| - 1/2 beyond, the m-th quantile's loss is

        mean |tau_m - 1[u < 0]| H(u),   tau_m = (m - 1/2) / M

    (equations 9 and 10), whose minimum is near the value below which a part tau_m of the targets lies. No gradient
    flows to the targets.

    Args:
        quantiles: `[..., M]`.
        targets: samples of the distribution to be learned, in any order, `[..., J]`; its leading dimensions broadcast.
    """
    loss: Tensor = _QuantileHuberLoss.apply(quantiles, targets)
    return loss


class _QuantileHuberLoss(torch.autograd.Function):
    """Loss and gradient in one pass over all pairs, `[..., M, J]`, which are too many to be kept.

    With c, which is u within [-1, 1], H(u) = c (u - c / 2), and c is its derivative.
    """

    @staticmethod
    def forward(ctx: Any, quantiles: Tensor, targets: Tensor) -> Tensor:
        size = quantiles.shape[-1]
        levels = (torch.arange(size, dtype=quantiles.dtype, device=quantiles.device).unsqueeze(-1) + 0.5) / size
        error = targets.unsqueeze(-2) - quantiles.unsqueeze(-1)
        clipped = error.clamp(-1, 1)
        slope = torch.where(error < 0, 1 - levels, levels) * clipped
        ctx.save_for_backward(slope.mean(-1))
        return (slope * (error - 0.5 * clipped)).mean(-1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return -gradient * slope, None
