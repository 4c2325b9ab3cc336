"""Steps down the gradient of a loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from workspace_rl.basics.arguments import require
from workspace_rl.errors import ConfigError
from workspace_rl.learning.finite_watch import Steps
from workspace_rl.ranks.gradients import averaged


def minimise(loss: Tensor, optimizer: torch.optim.Optimizer, max_grad_norm: float | None = None) -> Tensor:
    """Take one step of `optimizer` down the gradient of `loss`, and return the gradient's norm before clipping.

    Only the gradients of the optimiser's own parameters are computed: the step of an actor costs none of its
    critics' weights. Where several ranks learn together, gradients are averaged over them before anything else.

    Args:
        loss: a scalar.
        optimizer: updates its parameters in place.
        max_grad_norm: the gradient is scaled down to this Euclidean norm if it is longer; None for no limit.

    Raises:
        ConfigError: an argument is of another kind, or `max_grad_norm` is not above 0; in a compiled update,
            `compile_update` was not given this optimiser.
    """
    require(loss, Tensor, "minimise: loss", "a tensor that holds one number")
    if not loss.requires_grad or loss.numel() != 1:
        raise ConfigError(
            f"minimise: loss: one number that gradients flow from expected, a tensor of shape {tuple(loss.shape)} "
            f"{'with' if loss.requires_grad else 'without'} gradients found. Nothing on the way to it may be detached, "
            "or computed under torch.no_grad()."
        )
    require(optimizer, torch.optim.Optimizer, "minimise: optimizer", "an optimiser of torch")
    require(max_grad_norm, (int, float, np.number, type(None)), "minimise: max_grad_norm", "a number or None")
    if max_grad_norm is not None and not max_grad_norm > 0:
        raise ConfigError(
            f"minimise: max_grad_norm: a number above 0, or None for no limit, expected, {max_grad_norm} found."
        )
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    gradients = averaged(torch.autograd.grad(loss, parameters, allow_unused=True), parameters)
    compiling = torch.compiler.is_compiling()
    # Lists of tensors in one call are quicker eagerly, and in a graph slower than what the compiler makes of each.
    norm = nn.utils.get_total_norm([one for one in gradients if one is not None], foreach=not compiling)
    Steps.note(loss, norm)
    if max_grad_norm is not None:
        scale = (max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        gradients = tuple(one if one is None else one * scale for one in gradients)
    if compiling:
        step = getattr(optimizer, "graph_step", None)
        if step is None:
            raise ConfigError(f"compile_update was not given the {type(optimizer).__name__} that the update steps.")
        step(gradients)
    else:
        _take_step(optimizer, gradients)
    return norm.detach()


def _take_step(optimizer: torch.optim.Optimizer, gradients: Sequence[Tensor | None]) -> None:
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None and gradient.stride() != parameter.stride():
            # Fused optimisers pair weights and gradients by their place in memory.
            gradient = torch.empty_like(parameter).copy_(gradient)
        parameter.grad = gradient
    optimizer.step()
    optimizer.zero_grad()
