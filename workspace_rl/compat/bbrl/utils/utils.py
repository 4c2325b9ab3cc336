"""`bbrl.utils.utils`."""

from torch import nn
from torch.nn.utils import vector_to_parameters as vector_to_parameters

from workspace_rl.optimization import soft_update


def soft_param_update(network_to_update: nn.Module, network: nn.Module, rho: float) -> None:
    """Move the weights of `network_to_update` towards those of `network` by the part `rho` of the way."""
    soft_update(network_to_update, network, rho)
