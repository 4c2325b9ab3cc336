"""What recurrent networks have in common: layers, each with a product of its inputs and one of its state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor, nn

from workspace_rl.agents.memory.memory_agent import MemoryAgent, MemoryOptions, State
from workspace_rl.agents.memory.products import full_product
from workspace_rl.agents.networks import orthogonal


class RecurrentLayer(nn.Module):
    """A layer whose gates see the inputs and the state, each through weights of its own."""

    #: The names of the state's parts, each `[B, size]`; the first one is what the layer gives.
    parts: ClassVar[tuple[str, ...]]
    #: Products of which each unit is made.
    n_products: ClassVar[int]

    def __init__(self, inputs: int, size: int) -> None:
        """Build a layer of `size` units, with orthogonal weights for each product."""
        super().__init__()
        self.size = size
        self.of_inputs = nn.Linear(inputs, self.n_products * size)
        self.of_state = nn.Linear(size, self.n_products * size)
        for layer in (self.of_inputs, self.of_state):
            parts = [orthogonal(nn.Linear(layer.in_features, size), 1.0) for _ in range(self.n_products)]
            with torch.no_grad():
                layer.weight.copy_(torch.cat([part.weight for part in parts]))
                layer.bias.zero_()

    def step(self, inputs: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Return the parts of the state, `[B, size]`, after one step."""
        raise NotImplementedError

    def sequence(self, inputs: Tensor, begins: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Return the parts of the state, `[T, B, size]`, after each step; they are zeros before one that `begins`."""
        raise NotImplementedError

    def product_of_inputs(self, inputs: Tensor) -> Tensor:
        """Return the product of inputs, `[..., n_products * size]`, of 32 bits at least."""
        return full_product(inputs, *_weights(self, "of_inputs"))

    def product_of_state(self, hidden: Tensor) -> Tensor:
        """Return the product of the state, `[..., n_products * size]`, of 32 bits at least."""
        return full_product(hidden, *_weights(self, "of_state"))

    def weights_of_state(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the state's product, with the precision that autocast gives to products."""
        weight, bias = _weights(self, "of_state")
        device = weight.device.type
        if not torch.is_autocast_enabled(device):
            return weight, bias
        dtype = torch.get_autocast_dtype(device)
        return weight.to(dtype), bias.to(dtype)


def _weights(layer: nn.Module, name: str) -> tuple[Tensor, Tensor]:
    parameters: Any = layer._modules[name]._parameters  # type: ignore[union-attr]  # quicker than by attributes
    return parameters["weight"], parameters["bias"]


class RecurrentAgent(MemoryAgent):
    """Base class of memories that are recurrent layers, each of which reads what the one before it gives."""

    def __init__(
        self, kind: type[RecurrentLayer], input_size: int, size: int, n_layers: int, **options: Unpack[MemoryOptions]
    ) -> None:
        """Build `n_layers` layers of a `kind`, of `size` units each; for the options see `MemoryAgent`."""
        shape = [size] if n_layers == 1 else [n_layers, size]
        super().__init__(input_size, size, dict.fromkeys(kind.parts, shape), **options)
        self._parts = kind.parts
        self.layers = nn.ModuleList(kind(size if index else input_size, size) for index in range(n_layers))

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the features `[B, size]` of inputs `[B, input_size]`, and the state after them."""
        return self._through(lambda layer, *given: layer.step(*given), inputs, state)

    def sequence(self, inputs: Tensor, begins: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the features of all steps, `[T, B, size]`, and the state after each: see `MemoryAgent`."""
        return self._through(lambda layer, inputs, *own: layer.sequence(inputs, begins, *own), inputs, state)

    def _through(self, run: Callable[..., tuple[Tensor, ...]], inputs: Tensor, state: State) -> tuple[Tensor, State]:
        parts = self._parts
        layers: Any = self._modules["layers"]._modules.values()  # type: ignore[union-attr]
        if len(layers) == 1:
            (layer,) = layers
            after = run(layer, inputs, *(state[part] for part in parts))
            return after[0], dict(zip(parts, after, strict=True))
        results: list[tuple[Tensor, ...]] = []
        for layer, own in zip(layers, zip(*(state[part].unbind(1) for part in parts), strict=True), strict=True):
            results.append(run(layer, inputs, *own))
            inputs = results[-1][0]
        # Layers stand before the units of each.
        stacked = [torch.stack(each, -2) for each in zip(*results, strict=True)]
        return inputs, dict(zip(parts, stacked, strict=True))
