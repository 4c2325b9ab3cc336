"""Distributions given by quantiles, and what they learn from."""

from __future__ import annotations

import torch
from torch import Tensor


def quantile_huber_loss(quantiles: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of each quantile, `[..., M]`, averaged over targets (Dabney et al. 2018, arXiv:1710.10044).

    With u = target - quantile, and H(u) = u^2 / 2 for |u| < 1 and |u| - 1/2 beyond, the m-th quantile's loss is

        mean |tau_m - 1[u < 0]| H(u),   tau_m = (m - 1/2) / M

    (equations 9 and 10), whose minimum is near the value below which a part tau_m of the targets lies.

    Args:
        quantiles: `[..., M]`.
        targets: samples of the distribution to be learned, `[..., J]`; its leading dimensions broadcast.
    """
    size = quantiles.shape[-1]
    levels = (torch.arange(size, dtype=quantiles.dtype, device=quantiles.device) + 0.5) / size
    error = targets.unsqueeze(-2) - quantiles.unsqueeze(-1)  # [..., M, J]
    size_of_error = error.abs()
    huber = torch.where(size_of_error < 1, 0.5 * error.square(), size_of_error - 0.5)
    return ((levels.unsqueeze(-1) - (error < 0).to(error.dtype)).abs() * huber).mean(-1)
