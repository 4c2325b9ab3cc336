"""`bbrl_utils.nn`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workspace_rl.compat.bbrl import get_arguments, get_class
from workspace_rl.compat.bbrl.utils.utils import soft_param_update


def setup_optimizer(cfg_optimizer: Mapping[str, Any], *agents: nn.Module | Tensor) -> torch.optim.Optimizer:
    """Build the optimiser that a configuration names for the parameters of `agents`."""
    parameters = chain(*(one.parameters() if isinstance(one, nn.Module) else [one] for one in agents))
    # Not fused, unless the configuration says so: that would round differently.
    optimizer: torch.optim.Optimizer = get_class(cfg_optimizer)(parameters, **get_arguments(cfg_optimizer))
    return optimizer


def copy_parameters(source: nn.Module, target: nn.Module) -> None:
    """Copy parameters; buffers stay as they are."""
    for own, other in zip(source.parameters(), target.parameters(), strict=False):
        other.data.copy_(own)


def soft_update_params(net: nn.Module, target_net: nn.Module, tau: float) -> None:
    """Move the parameters of `target_net` towards those of `net`, with BBRL's roundings; buffers stay as they are."""
    soft_param_update(target_net, net, tau)


def build_mlp(
    sizes: Sequence[int], activation: nn.Module, output_activation: nn.Module | None = None, layer: Any = nn.Linear
) -> nn.Sequential:
    """Return a multi-layer perceptron with layers of the given sizes, the input's first."""
    layers = [one for inputs, outputs in pairwise(sizes) for one in (layer(inputs, outputs), activation)]
    return nn.Sequential(*layers[:-1], output_activation or nn.Identity())


def build_ortho_mlp(
    sizes: Sequence[int], activation: nn.Module, output_activation: nn.Module | None = None
) -> nn.Sequential:
    """Return such a perceptron with orthogonal weights."""
    return build_mlp(sizes, activation, output_activation, lambda *size: ortho_init(nn.Linear(*size)))


def ortho_init(layer: nn.Linear, std: float = np.sqrt(2), bias_const: float = 0.0) -> nn.Linear:
    """Initialise a layer with an orthogonal matrix, scaled by `std`, and a constant bias."""
    nn.init.orthogonal_(layer.weight, std)
    nn.init.constant_(layer.bias, bias_const)
    return layer
