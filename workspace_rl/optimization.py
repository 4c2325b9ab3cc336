"""Optimisers from configurations, gradient steps, and target networks that follow."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from workspace_rl.classes import instantiate_class


def setup_optimizer(config: Mapping[str, Any], *parts: nn.Module | nn.Parameter) -> torch.optim.Optimizer:
    """Build the optimiser that `config` describes for the parameters of `parts`, except frozen ones.

    Args:
        config: `{"classname": "torch.optim.Adam", "lr": 3e-4}` and the class's other arguments. Optimisers that have a
            fused implementation use it unless `fused` is given: it computes the same in one pass.
        *parts: modules or parameters.
    """
    everything = [one for part in parts for one in ([part] if isinstance(part, nn.Parameter) else part.parameters())]
    parameters = [one for one in everything if one.requires_grad]

    def build(optimizer_class: type[torch.optim.Optimizer], **arguments: Any) -> torch.optim.Optimizer:
        known = inspect.signature(optimizer_class).parameters
        implementations = {"fused", "foreach", "capturable", "differentiable"}
        if "fused" in known and not implementations & arguments.keys():
            arguments["fused"] = True
        return optimizer_class(parameters, **arguments)

    optimizer: torch.optim.Optimizer = instantiate_class(config, build)
    return optimizer


def minimise(loss: Tensor, optimizer: torch.optim.Optimizer, max_grad_norm: float | None = None) -> Tensor:
    """Take one step of `optimizer` down the gradient of `loss`, and return the gradient's norm before clipping.

    Only the gradients of the optimiser's own parameters are computed: the step of an actor costs none of its
    critics' weights.

    Args:
        loss: a scalar.
        optimizer: updates its parameters in place.
        max_grad_norm: the gradient is scaled down to this Euclidean norm if it is longer; None for no limit.
    """
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    used = [gradient for gradient in gradients if gradient is not None]
    norm = nn.utils.get_total_norm(used)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None and gradient.stride() != parameter.stride():
            # Fused optimisers pair weights and gradients by their place in memory.
            gradient = torch.empty_like(parameter).copy_(gradient)
        parameter.grad = gradient
    if max_grad_norm is not None:
        nn.utils.clip_grads_with_norm_(parameters, max_grad_norm, norm)
    optimizer.step()
    optimizer.zero_grad()
    return norm


@torch.no_grad()
def soft_update(target: nn.Module, source: nn.Module, tau: float) -> None:
    """Move the parameters of `target` towards those of `source` in place: `target += tau * (source - target)`."""
    torch._foreach_lerp_(_tensors(target.parameters()), _tensors(source.parameters()), tau)


@torch.no_grad()
def copy_parameters(target: nn.Module, source: nn.Module) -> None:
    """Copy the parameters and buffers of `source` to `target` in place."""
    for kind in (nn.Module.parameters, nn.Module.buffers):
        target_tensors, source_tensors = _tensors(kind(target)), _tensors(kind(source))
        if target_tensors:
            torch._foreach_copy_(target_tensors, source_tensors)


def _tensors(tensors: Iterable[Tensor]) -> list[Tensor]:
    return list(tensors)
