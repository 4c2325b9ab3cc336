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


class OutputLayer(nn.Linear):
    """The last layer of a network: its products have 32 bits where those of hidden layers have 16 (`precision: bf16`).

    Between 128 and 256, numbers of bfloat16 are whole ones: too coarse for values, whose small differences count.
    """

    #: In checkpoints, of which many are older.
    stored_as = "Linear"

    def forward(self, input: Tensor) -> Tensor:
        """Return `[..., out_features]` of `[..., in_features]`."""
        parameters = self._parameters  # nn.Module looks for them elsewhere first
        return output_product(input, parameters["weight"], parameters["bias"])  # type: ignore[arg-type]


class NoisyOutputLayer(NoisyLinear):
    """The last layer of a network whose layers are noisy, as exact as an `OutputLayer`."""

    stored_as = "NoisyLinear"

    def forward(self, input: Tensor, stochastic: bool = True) -> Tensor:
        """Return `[..., out_features]` of `[..., in_features]`, by weights that are drawn, or by their means."""
        if not torch.is_autocast_enabled(input.device.type):
            return super().forward(input, stochastic)
        with not_autocast(input):
            return super().forward(input.to(self.weight.dtype), stochastic)


@checked(least={"sizes": 1})
def build_mlp(
    sizes: Sequence[int],
    activation: type[nn.Module] = nn.ReLU,
    output_activation: type[nn.Module] | None = None,
    *,
    noisy: bool = False,
) -> nn.Sequential:
    """Return a multilayer perceptron with layers of the given sizes, input and output included.

    `activation` stands between layers, `output_activation` (if any) after the last one; if there is none, that is an
    `OutputLayer`. If `noisy`, all layers are `NoisyLinear`, and it is called with `stochastic`, whether they are to
    draw, as well.
    """
    hidden, output = (NoisyLinear, NoisyOutputLayer) if noisy else (nn.Linear, OutputLayer)
    layers: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        if index < len(sizes) - 2:
            layers += [hidden(inputs, outputs), activation()]
        elif output_activation is not None:
            layers += [hidden(inputs, outputs), output_activation()]
        else:
            layers.append(output(inputs, outputs))
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
    if isinstance(layers, nn.Linear):
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


def output_product(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `features @ weight.T + bias`, for numbers that leave a network, with the precision of its weights."""
    if not torch.is_autocast_enabled(features.device.type):
        return functional.linear(features, weight, bias)
    with not_autocast(features):
        return functional.linear(features.to(weight.dtype), weight, bias)


def not_autocast(like: Tensor) -> torch.autocast:
    """Return a context in which numbers on the device of `like` keep the type that they have."""
    return torch.autocast(like.device.type, enabled=False)


def drawing_dtype() -> torch.dtype:
    """Return the dtype of random numbers: torch's default, but of 32 bits at least."""
    return torch.float64 if torch.get_default_dtype() is torch.float64 else torch.float32


def first_weight(*networks: nn.Module) -> Tensor:
    """Return the first weight of networks, at once where it is a perceptron's: looking through all takes longer."""
    first = networks[0]._modules.get("0")
    if isinstance(first, nn.Linear):
        return first.weight
    return next(parameter for network in networks for parameter in network.parameters())
