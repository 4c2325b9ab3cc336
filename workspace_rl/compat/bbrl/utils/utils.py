"""`bbrl.utils.utils`."""

from typing import Any

import torch
from torch import nn
from torch.nn.utils import vector_to_parameters as vector_to_parameters


@torch.no_grad()
def soft_param_update(network_to_update: nn.Module, network: nn.Module, rho: float) -> None:
    """Move the weights of `network_to_update` towards those of `network` by the part `rho` of the way.

    With BBRL's roundings, and without buffers, as there.
    """
    targets: Any = list(network_to_update.parameters())
    sources: Any = list(network.parameters())
    torch._foreach_mul_(targets, 1 - rho)
    torch._foreach_add_(targets, torch._foreach_mul(sources, rho))
