"""Target networks, which follow the networks that are trained."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from workspace_rl.basics.arguments import require
from workspace_rl.errors import ConfigError
from workspace_rl.learning.state.transfer import Pairs


@torch.no_grad()
def soft_update(target: nn.Module, source: nn.Module, tau: float) -> None:
    """Move the parameters of `target` towards those of `source` in place: `target += tau * (source - target)`.

    Buffers, such as running statistics and counters, are copied, whatever `tau` is: they are states, of which a part
    of the way may mean nothing. So are parameters that are whole numbers. With `tau=1` the target becomes the source.
    For batch normalisation this means that target and source have the same running statistics.

    Args:
        target: a module that is built like `source`, usually a deep copy of it.
        source: is left as it is.
        tau: the part of the way, from 0 to 1.

    Raises:
        CompositionError: the modules are not built alike.
        ConfigError: `tau` is not between 0 and 1.
    """
    require(target, nn.Module, "soft_update: target", "a module of torch")
    require(source, nn.Module, "soft_update: source", "a module of torch")
    require(tau, (int, float, np.number), "soft_update: tau", "a number from 0 to 1")
    if not 0 <= tau <= 1:
        raise ConfigError(f"tau: a number from 0 to 1 expected, {tau} found.")
    Pairs(target, source).move(tau)


@torch.no_grad()
def copy_parameters(target: nn.Module, source: nn.Module) -> None:
    """Copy the parameters and buffers of `source` to `target` in place.

    Raises:
        CompositionError: the modules are not built alike.
    """
    Pairs(target, source).copy()
