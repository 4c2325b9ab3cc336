"""Distributions given by the probabilities of values that are fixed, and what they learn from."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def atoms(v_min: float, v_max: float, n_atoms: int, like: Tensor) -> Tensor:
    """Return the values z_1 .. z_M, `[n_atoms]`, at equal distances from `v_min` to `v_max`."""
    return torch.linspace(v_min, v_max, n_atoms, dtype=like.dtype, device=like.device)


def project(probabilities: Tensor, values: Tensor, v_min: float, v_max: float) -> Tensor:
    """Return the distribution over atoms, `[..., M]`, of values that may lie anywhere (Bellemare et al. 2017).

    With the distance d of neighbouring atoms, the i-th atom z_i gets

        sum_j p_j max(0, 1 - |clip(y_j, v_min, v_max) - z_i| / d)

    (arXiv:1707.06887, equation 7): the probability of a value between two atoms is shared by these, the more of it the
    nearer, that of a value on an atom is the atom's, and that of one beyond an end the end's.

    Args:
        probabilities: p_1 .. p_M, `[..., M]`.
        values: y_1 .. y_M, whose probabilities they are, `[..., M]`.
        v_min: the first of M atoms.
        v_max: the last one.
    """
    n_atoms = probabilities.shape[-1]
    # Counted in atoms, from 0 to M - 1, so that what the two neighbours of a value get adds up to 1.
    places = ((values - v_min) * ((n_atoms - 1) / (v_max - v_min))).clamp(0, n_atoms - 1).unsqueeze(-2)
    numbers = torch.arange(n_atoms, dtype=places.dtype, device=places.device).unsqueeze(-1)
    return ((1 - (places - numbers).abs()).clamp(min=0) * probabilities.unsqueeze(-2)).sum(-1)


def categorical_loss(
    logits: Tensor, next_logits: Tensor, reward: Tensor, discount: Tensor, v_min: float, v_max: float
) -> Tensor:
    """Return the cross-entropy of each row, `[B]`, of a distribution and what follows (Bellemare et al., algorithm 1).

        -sum_i m_i log p_i,   m the projection (see `project`) of r + g z, with the probabilities p' of what follows

    It is at least the entropy of m, and its gradient is that of the Kullback-Leibler divergence.

    Args:
        logits: of p, over M atoms z from `v_min` to `v_max`, `[B, M]`.
        next_logits: of p', `[B, M]`; no gradients flow there.
        reward: r, `[B]`.
        discount: g, 0 where nothing follows, `[B]`.
        v_min: the first atom.
        v_max: the last one.
    """
    values = atoms(v_min, v_max, logits.shape[-1], logits)
    returns = reward.unsqueeze(-1) + discount.unsqueeze(-1) * values
    target = project(torch.softmax(next_logits, -1), returns, v_min, v_max).detach()
    return -(target * functional.log_softmax(logits, -1)).sum(-1)
