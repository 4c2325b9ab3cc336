"""Batch renormalisation: features brought to mean 0 and deviation 1, by the batch and by all batches so far."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from workspace_rl.basics.arguments import checked

#: How far, once the warm-up is over, what a batch is normalised by may lie from the batch's own statistics.
R_MAX, D_MAX = 3.0, 5.0


class BatchRenorm(nn.Module):
    """Batch renormalisation: `[..., n_features]` to the same shape, each feature by itself.

    Ioffe 2017, "Batch Renormalization" (arXiv:1702.03275), as CrossQ has it (Bhatt et al. 2024, arXiv:1902.05605). In
    evaluation mode, and with the running mean m and variance v,

        y = weight (x - m) / sqrt(v + epsilon) + bias,

    and nothing changes. In training mode, a batch of at least two rows with mean m' and variance v' (with Bessel's
    correction) is first normalised by these alone (Ioffe and Szegedy 2015); after `warm_up` batches by mean
    m' - d sqrt(v') / r and variance v' / r^2, which are the running ones as far as the limits allow, and through which
    gradients flow as through the batch's own:

        r = clip(sqrt((v' + epsilon) / (v + epsilon)), 1 / 3, 3),   d = clip((m' - m) / sqrt(v + epsilon), -5, 5)

    Then m <- m + momentum (m' - m), v likewise, and the batch is counted.
    """

    mean: Tensor
    var: Tensor
    n_batches: Tensor

    @checked(least={"n_features": 1, "momentum": 0, "epsilon": 0, "warm_up": 0})
    def __init__(
        self, n_features: int, *, momentum: float = 0.01, epsilon: float = 1e-3, warm_up: int = 100_000
    ) -> None:
        """Build it for `n_features` features."""
        super().__init__()
        self.momentum, self.epsilon, self.warm_up = momentum, epsilon, warm_up
        self.weight = nn.Parameter(torch.ones(n_features))
        self.bias = nn.Parameter(torch.zeros(n_features))
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("var", torch.ones(n_features))
        self.register_buffer("n_batches", torch.zeros((), dtype=torch.int64))

    def forward(self, features: Tensor) -> Tensor:
        """Return features, `[..., n_features]`, normalised; all dimensions but the last are rows of one batch."""
        rows = features.to(self.weight.dtype).reshape(-1, features.shape[-1])
        if not self.training:
            normal = functional.batch_norm(rows, self.mean, self.var, self.weight, self.bias, eps=self.epsilon)
            return normal.view_as(features)
        mean = rows.mean(0)
        # The variance has no gradient by way of the mean, whose own goes through the shift alone: one sum less over
        # the batch to take.
        fixed = mean.detach()
        centred = rows - fixed
        var = centred.square().sum(0) / max(len(rows) - 1, 1)
        with torch.no_grad():
            r, d = self._corrections(mean, var)
            self._count(mean, var)
        # Where all rows are the same, a root of 0 has no gradient.
        shift = d * var.clamp(min=torch.finfo(var.dtype).tiny).sqrt() / r - (mean - fixed)
        scale = self.weight * (var / r.square() + self.epsilon).rsqrt()
        return ((centred + shift) * scale + self.bias).view_as(features)

    def _corrections(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Return r and d of a batch: 1 and 0 while warming up."""
        deviation = (self.var + self.epsilon).sqrt()
        warm = self.n_batches > self.warm_up
        r = ((var + self.epsilon).sqrt() / deviation).clamp(1 / R_MAX, R_MAX)
        d = ((mean - self.mean) / deviation).clamp(-D_MAX, D_MAX)
        return torch.where(warm, r, 1.0), torch.where(warm, d, 0.0)

    def _count(self, mean: Tensor, var: Tensor) -> None:
        self.mean.lerp_(mean, self.momentum)
        self.var.lerp_(var, self.momentum)
        self.n_batches.add_(1)

    def extra_repr(self) -> str:
        """Return what is printed of it."""
        return f"{len(self.weight)}, momentum={self.momentum}, epsilon={self.epsilon}, warm_up={self.warm_up}"
