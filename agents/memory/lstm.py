"""Long short-term memory."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from workspace_rl.agents.memory.memory_agent import MemoryAgent, MemoryOptions, State
from workspace_rl.agents.memory.recurrent import RecurrentLayer, recurrent_layers
from workspace_rl.basics.arguments import checked


class LSTMAgent(MemoryAgent):
    """Long short-term memory, Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.

        i, f, o = sigmoid(W x + U h)         what is taken in, what stays, what is shown
        g = tanh(W_g x + U_g h)
        c' = f * c + i * g
        h' = o * tanh(c')

    Reads the observation x at `t` and the state, h and c, at `t - 1`; writes `<prefix>memory` (`[B, size]`), which is
    h', and `<prefix>memory/hidden` and `<prefix>memory/cell` at `t`: `[B, size]`, or, with several layers,
    `[B, n_layers, size]`, of which the last is what is written as features. For the rest see `MemoryAgent`.
    """

    @checked(least={"input_size": 1, "size": 1, "n_layers": 1})
    def __init__(self, input_size: int, size: int = 64, n_layers: int = 1, **options: Unpack[MemoryOptions]) -> None:
        """Build `n_layers` layers of `size` units each; for the options see `MemoryAgent`.

        The forget gate's bias is 1 at first, so that much stays (Jozefowicz et al. 2015).
        """
        shape = [size] if n_layers == 1 else [n_layers, size]
        super().__init__(input_size, size, {"hidden": shape, "cell": shape}, **options)
        self.layers = recurrent_layers(LSTMLayer, input_size, size, n_layers)
        with torch.no_grad():
            for layer in self.layers:
                layer.of_inputs.bias[size : 2 * size] = 1

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the features `[B, size]` of inputs `[B, input_size]`, and the state after them."""
        if len(self.layers) == 1:
            hidden, cell = self.layers[0].step(inputs, state["hidden"], state["cell"])
            return hidden, {"hidden": hidden, "cell": cell}
        each = []
        for layer, hidden, cell in zip(self.layers, state["hidden"].unbind(1), state["cell"].unbind(1), strict=True):
            each.append(layer.step(inputs, hidden, cell))
            inputs = each[-1][0]
        hiddens, cells = zip(*each, strict=True)
        return inputs, {"hidden": torch.stack(hiddens, 1), "cell": torch.stack(cells, 1)}


class LSTMLayer(RecurrentLayer):
    """One layer."""

    n_gates = 4

    def step(self, inputs: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state after one step, twice `[B, size]`."""
        return self.advance(self.of_inputs(inputs), hidden, cell)

    def advance(self, of_inputs: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state after one step, given the product of the inputs, `[B, 4 * size]`."""
        taken, kept, new, shown = (of_inputs + self.of_state(hidden)).chunk(4, -1)
        cell = torch.sigmoid(kept) * cell + torch.sigmoid(taken) * torch.tanh(new)
        return torch.sigmoid(shown) * torch.tanh(cell), cell
