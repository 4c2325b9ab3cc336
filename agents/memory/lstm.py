"""Long short-term memory."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from workspace_rl.agents.memory.lstm_loop import run_lstm
from workspace_rl.agents.memory.memory_agent import MemoryOptions
from workspace_rl.agents.memory.recurrent import RecurrentAgent, RecurrentLayer
from workspace_rl.basics.arguments import checked


class LSTMLayer(RecurrentLayer):
    """One layer of long short-term memory; the weights' rows are those of o, i, f and g."""

    n_products = 4
    parts = ("hidden", "cell")

    def __init__(self, inputs: int, size: int) -> None:
        """Build a layer of `size` units, whose forget gate is open at first (Jozefowicz et al. 2015)."""
        super().__init__(inputs, size)
        with torch.no_grad():
            self.of_inputs.bias[2 * size : 3 * size] = 1

    def step(self, inputs: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state after one step, twice `[B, size]`."""
        hidden, cell = state
        products = self.product_of_inputs(inputs) + self.product_of_state(hidden)
        gates, new = products.split([3 * self.size, self.size], -1)
        shown, taken, kept = gates.sigmoid().chunk(3, -1)
        cell = torch.addcmul(kept * cell, taken, new.tanh())
        return shown * torch.tanh(cell), cell

    def sequence(self, inputs: Tensor, begins: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state after each step, twice `[T, B, size]`."""
        after: tuple[Tensor, Tensor] = run_lstm(
            self.product_of_inputs(inputs), begins, *state, *self.weights_of_state()
        )
        return after


class LSTMAgent(RecurrentAgent):
    """Long short-term memory, Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.

        o, i, f = sigmoid(W x + U h + b)     what is shown, what is taken in, what stays
        g = tanh(W_g x + U_g h + b_g)
        c' = f * c + i * g
        h' = o * tanh(c')

    Reads the observation x at `t` and the state, h and c, at `t - 1`; writes `<prefix>memory` (`[B, size]`), which is
    h', and `<prefix>memory/hidden` and `<prefix>memory/cell` at `t`: `[B, size]`, or, with several layers,
    `[B, n_layers, size]`, of which the last is what is written as features. For the rest see `MemoryAgent`.
    """

    @checked(least={"input_size": 1, "size": 1, "n_layers": 1})
    def __init__(self, input_size: int, size: int = 64, n_layers: int = 1, **options: Unpack[MemoryOptions]) -> None:
        """Build `n_layers` layers of `size` units each; for the options see `MemoryAgent`."""
        super().__init__(LSTMLayer, input_size, size, n_layers, **options)
