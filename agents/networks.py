"""Networks that agents are made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from workspace_rl.agents.noisy import NoisyLinear, NoisySequential
from workspace_rl.basics.arguments import checked

M = TypeVar("M", bound=nn.Module)


@checked(least={"sizes": 1})
def build_mlp(
    sizes: Sequence[int],
    activation: type[nn.Module] = nn.ReLU,
    output_activation: type[nn.Module] | None = None,
    *,
    noisy: bool = False,
) -> nn.Sequential:
    """Return a multilayer perceptron with layers of the given sizes, input and output included.

    `activation` stands between layers, `output_activation` (if any) after the last one. If `noisy`, all of its layers
    are `NoisyLinear`, and it is called with `stochastic`, whether they are to draw, as well.
    """
    linear = NoisyLinear if noisy else nn.Linear
    layers: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers.append(linear(inputs, outputs))
        if index < len(sizes) - 2:
            layers.append(activation())
        elif output_activation is not None:
            layers.append(output_activation())
    return NoisySequential(*layers) if noisy else nn.Sequential(*layers)


def orthogonal(module: M, gain: float) -> M:
    """Give the linear layers and convolutions of `module` orthogonal weights, times `gain`, and biases 0; return it.

    Saxe et al. 2014 (arXiv:1312.6120).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            weight = nn.init.orthogonal_(torch.empty(layer.weight.shape, dtype=layer.weight.dtype), gain)
            with torch.no_grad():
                layer.weight.copy_(weight)
                if layer.bias is not None:
                    layer.bias.zero_()
    return module


def run_layers(layers: nn.Sequential | nn.Linear, x: Tensor) -> Tensor:
    """Return `layers(x)`, in the time that a step of acting has for it.

    Past nn.Module's way of calling, which takes as long as a small layer itself, unless a hook asks for it, or a graph
    is made.
    """
    if type(layers) is nn.Linear:
        return _run_layer(layers, x)
    if type(layers) is not nn.Sequential or _is_hooked(layers) or torch.compiler.is_compiling():
        return layers(x)  # type: ignore[no-any-return]
    for layer in layers._modules.values():
        x = _run_layer(layer, x)
    return x


def _run_layer(layer: nn.Module, x: Tensor) -> Tensor:
    if _is_hooked(layer) or torch.compiler.is_compiling():
        return layer(x)  # type: ignore[no-any-return]
    if type(layer) is nn.Linear:
        parameters = layer._parameters  # nn.Module looks for them elsewhere first
        return functional.linear(x, parameters["weight"], parameters["bias"])  # type: ignore[arg-type]
    return layer.forward(x)  # type: ignore[no-any-return]


def _is_hooked(layer: nn.Module) -> bool:
    hooks = layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks
    return bool(hooks)


def full_precision(output: Tensor) -> Tensor:
    """Return the output of a network as float32 if it has 16 bits, which are too coarse for what follows."""
    return output.float() if output.dtype in (torch.bfloat16, torch.float16) else output


def drawing_dtype() -> torch.dtype:
    """Return the dtype of random numbers: torch's default, but of 32 bits at least."""
    return torch.float64 if torch.get_default_dtype() is torch.float64 else torch.float32


def first_weight(*networks: nn.Module) -> Tensor:
    """Return the first weight of networks, at once where it is a perceptron's: looking through all takes longer."""
    first = networks[0]._modules.get("0")
    if isinstance(first, nn.Linear):
        return first.weight
    return next(parameter for network in networks for parameter in network.parameters())
