"""Gradients averaged over ranks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed
from torch import Tensor

#: How many ranks average, while several do. A list: not every torch can trace what is written to a module.
AVERAGING: list[int] = []


def averaged(gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """Return the mean over ranks of the gradients of `parameters`; without other ranks, the gradients themselves.

    All of them travel in one tensor, which is cheaper than one at a time (one for each dtype; those of 16 bits as
    float32). What one rank has no gradient for counts as 0 there; what no rank has one for stays None. A compiled
    update knows which are None when it is traced, so that there they must be the same ones on all ranks.

    Args:
        gradients: one for each parameter, None where the loss does not depend on it. Sparse ones become dense.
        parameters: all ranks' in the same order.
    """
    if not AVERAGING:
        return gradients
    result: list[Tensor | None] = [None] * len(parameters)
    for dtype in dict.fromkeys(one.dtype for one in parameters):
        places = [index for index, one in enumerate(parameters) if one.dtype == dtype]
        means = _means([gradients[index] for index in places], [parameters[index] for index in places])
        for index, mean in zip(places, means, strict=True):
            result[index] = mean
    return result


def _means(gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> list[Tensor | None]:
    values = [_flat(one, parameter) for one, parameter in zip(gradients, parameters, strict=True)]
    missing = [index for index, one in enumerate(gradients) if one is None]
    # Behind the gradients, how many ranks have each: their layout must not depend on who has what.
    counts = values[0].new_ones(len(gradients))
    for index in missing:
        counts[index] = 0
    total = torch.cat([*values, counts])
    torch.distributed.all_reduce(total)
    *sums, counts = total.split([*(one.numel() for one in values), len(gradients)])
    means: list[Tensor | None] = [_as(one / AVERAGING[0], like) for one, like in zip(sums, parameters, strict=True)]
    for index in missing:
        if torch.compiler.is_compiling() or not counts[index]:
            means[index] = None
    return means


def _flat(gradient: Tensor | None, parameter: Tensor) -> Tensor:
    gradient = torch.zeros_like(parameter) if gradient is None else gradient
    gradient = gradient.to_dense() if gradient.is_sparse else gradient
    flat = (torch.view_as_real(gradient.resolve_conj()) if gradient.is_complex() else gradient).reshape(-1)
    return flat.float() if flat.dtype in (torch.float16, torch.bfloat16) else flat


def _as(flat: Tensor, parameter: Tensor) -> Tensor:
    if parameter.is_complex():
        return torch.view_as_complex(flat.view(*parameter.shape, 2))
    return flat.view(parameter.shape).to(parameter.dtype)
