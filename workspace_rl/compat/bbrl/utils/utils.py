"""`bbrl.utils.utils`."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the numbers of a vector into parameters, one after the other (PyTorch's function lets them share it).

    Raises:
        TypeError: `vec` is no tensor.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vec must be a tensor, {type(vec).__name__} was given.")
    start = 0
    for parameter in parameters:
        parameter.data.copy_(vec.data[start : start + parameter.numel()].view_as(parameter))
        start += parameter.numel()


def soft_param_update(network_to_update: nn.Module, network: nn.Module, rho: float) -> None:
    """Move the parameters of `network_to_update` towards those of `network` by the part `rho`, with BBRL's roundings.

    Buffers stay as they are.
    """
    # Their data, as BBRL does: no graph is told of the change.
    targets: Any = [one.data for one in network_to_update.parameters()]
    sources: Any = [one.data for one in network.parameters()]
    if n := min(len(targets), len(sources)):
        torch._foreach_mul_(targets[:n], 1 - rho)
        torch._foreach_add_(targets[:n], torch._foreach_mul(sources[:n], rho))


def is_vec_of_ones(vec: Iterable[Iterable[Any]]) -> bool:
    """Return whether all numbers in a matrix are 1."""
    return all(bool(number == 1) for row in vec for number in row)


def key_path_in_dict(nested_dict: Any, key_path: str) -> bool:
    """Return whether "a.b.c" leads to something in nested dictionaries."""
    try:
        for key in key_path.split("."):
            nested_dict = nested_dict[key]
    except KeyError:
        return False
    return True


def set_value_with_key_path(nested_dict: Any, key_path: str, value: Any) -> None:
    """Set what "a.b.c" leads to in nested dictionaries."""
    *path, last = key_path.split(".")
    for key in path:
        nested_dict = nested_dict[key]
    nested_dict[last] = value
