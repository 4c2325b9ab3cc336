"""Optimisers from configurations."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from workspace_rl.basics.arguments import checked
from workspace_rl.basics.classes import class_path, instantiate_class
from workspace_rl.errors import ConfigError
from workspace_rl.learning.compiled.graph_step import FUNCTIONAL

#: Arguments of optimisers that choose among implementations, of which not all are for every device.
_IMPLEMENTATIONS = {"fused", "foreach", "capturable", "differentiable"}


@checked()
def setup_optimizer(config: Mapping[str, Any], *parts: nn.Module | nn.Parameter) -> torch.optim.Optimizer:
    """Build the optimiser that `config` describes for the parameters of `parts`, except frozen ones.

    Args:
        config: `{"classname": "torch.optim.Adam", "lr": 3e-4}` and the class's other arguments. Optimisers that have a
            fused implementation use it unless `fused` is given: it computes the same in one pass.
        *parts: modules or parameters.

    Raises:
        ConfigError: the class does not exist, refuses an argument, cannot train these parameters by their gradients
            (LBFGS computes the loss itself, SparseAdam wants sparse gradients, Muon matrices), or has nothing to
            train: all parameters are frozen.
    """
    everything = [one for part in parts for one in ([part] if isinstance(part, nn.Parameter) else part.parameters())]
    parameters = [one for one in everything if one.requires_grad]
    if not parameters:
        raise ConfigError(
            f"{config.get('classname', 'the optimiser')} was given no parameters to train: "
            + ("all are frozen (requires_grad is False)." if everything else "its modules have none.")
        )

    def build(optimizer_class: type[torch.optim.Optimizer], **arguments: Any) -> torch.optim.Optimizer:
        known = inspect.signature(optimizer_class).parameters
        chosen = _IMPLEMENTATIONS & arguments.keys()
        if "fused" in known and not chosen:
            arguments["fused"] = True
        if optimizer_class not in FUNCTIONAL or chosen:
            _try_out(optimizer_class, parameters, arguments)
        try:
            return optimizer_class(parameters, **arguments)
        except Exception as error:  # it knows best what it takes
            raise ConfigError(f"{class_path(optimizer_class)} refuses {arguments}: {error}") from error

    optimizer: torch.optim.Optimizer = instantiate_class(config, build)
    return optimizer


def scale_learning_rates(optimizers: Iterable[torch.optim.Optimizer], share: float) -> None:
    """Let optimisers learn at a share of the learning rates that they were built with, 0 if it is below."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * max(0.0, share)


def _try_out(optimizer_class: type[torch.optim.Optimizer], parameters: list[Any], arguments: dict[str, Any]) -> None:
    """Let the optimiser take a step on copies of the parameters: not every one is for any parameter and gradient."""
    copies = [nn.Parameter(torch.zeros_like(one)) for one in parameters]
    for one in copies:
        one.grad = torch.zeros_like(one)
    devices = sorted({one.device.index for one in copies if one.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices):
            optimizer_class(copies, **arguments).step()
    except Exception as error:
        given = ", ".join(f"{key}={arguments[key]}" for key in sorted(_IMPLEMENTATIONS & arguments.keys()))
        way_out = f"Leave out {given}." if optimizer_class in FUNCTIONAL else "torch.optim.Adam and AdamW can."
        raise ConfigError(
            f"{optimizer_class.__name__} cannot train parameters of the shapes {[list(one.shape) for one in copies]} "
            f"by a step on their gradients ({type(error).__name__}: {str(error).rstrip('.')}). {way_out}"
        ) from error
