"""The gated recurrent unit."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from workspace_rl.agents.memory.memory_agent import MemoryAgent, MemoryOptions, State
from workspace_rl.agents.memory.recurrent import RecurrentLayer, recurrent_layers
from workspace_rl.basics.arguments import checked


class GRUAgent(MemoryAgent):
    """Gated recurrent units, Cho et al. 2014 (arXiv:1406.1078), in the form of `torch.nn.GRU`.

        r, z = sigmoid(W x + U h)            how much of the state is seen, and how much of it stays
        n = tanh(W_n x + r * (U_n h + b_n))
        h' = (1 - z) * n + z * h

    Reads the observation x at `t` and the state h at `t - 1`; writes `<prefix>memory` (`[B, size]`), which is h', and
    `<prefix>memory/hidden` at `t`: `[B, size]`, or, with several layers, `[B, n_layers, size]`, of which the last is
    what is written as features. For the rest see `MemoryAgent`.
    """

    @checked(least={"input_size": 1, "size": 1, "n_layers": 1})
    def __init__(self, input_size: int, size: int = 64, n_layers: int = 1, **options: Unpack[MemoryOptions]) -> None:
        """Build `n_layers` layers of `size` units each; for the options see `MemoryAgent`."""
        shape = [size] if n_layers == 1 else [n_layers, size]
        super().__init__(input_size, size, {"hidden": shape}, **options)
        self.layers = recurrent_layers(GRULayer, input_size, size, n_layers)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the features `[B, size]` of inputs `[B, input_size]`, and the state after them."""
        hidden = state["hidden"]
        if len(self.layers) == 1:
            after = self.layers[0].step(inputs, hidden)
            return after, {"hidden": after}
        each = []
        for layer, own in zip(self.layers, hidden.unbind(1), strict=True):
            inputs = layer.step(inputs, own)
            each.append(inputs)
        return inputs, {"hidden": torch.stack(each, 1)}


class GRULayer(RecurrentLayer):
    """One layer."""

    n_gates = 3

    def step(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        """Return the state after one step, `[B, size]`."""
        return self.advance(self.of_inputs(inputs), hidden)

    def advance(self, of_inputs: Tensor, hidden: Tensor) -> Tensor:
        """Return the state after one step, given the product of the inputs, `[B, 3 * size]`."""
        gates, new = of_inputs.split([2 * self.size, self.size], -1)
        gates_of_state, new_of_state = self.of_state(hidden).split([2 * self.size, self.size], -1)
        seen, kept = torch.sigmoid(gates + gates_of_state).chunk(2, -1)
        candidate = torch.tanh(new + seen * new_of_state)
        return candidate + kept * (hidden - candidate)
