"""Products of memories, which add up over time: their results have 32 bits at least."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from workspace_rl.agents.networks import full_precision


def full_product(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the linear product of `inputs`, computed with the precision of `weight`, as 32 bits at least."""
    if inputs.dtype is not weight.dtype:
        inputs = inputs.to(weight.dtype)
    return full_precision(functional.linear(inputs, weight, bias))


def add_product(total: Tensor, inputs: Tensor, weight: Tensor, out: Tensor) -> Tensor:
    """Write `total + inputs @ weight` to `out`, the product being computed with the precision of `weight`."""
    if inputs.dtype is weight.dtype:
        return torch.addmm(total, inputs, weight, out=out)
    return torch.add(total, inputs.to(weight.dtype) @ weight, out=out)


def states_before(first: Tensor, after: Tensor, begins: Tensor) -> Tensor:
    """Return the state before each step, `[T, B, size]`, given those after each: zeros where an episode begins."""
    return torch.cat((first.unsqueeze(0), after[:-1])).masked_fill(begins.unsqueeze(-1), 0)
