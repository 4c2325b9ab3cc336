"""The gated recurrent unit."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from workspace_rl.agents.memory.gru_loop import run_gru
from workspace_rl.agents.memory.memory_agent import MemoryOptions
from workspace_rl.agents.memory.recurrent import RecurrentAgent, RecurrentLayer
from workspace_rl.basics.arguments import checked


class GRULayer(RecurrentLayer):
    """One layer of gated recurrent units; the weights' rows are those of r, z and n, as in `torch.nn.GRU`."""

    n_products = 3
    parts = ("hidden",)

    def step(self, inputs: Tensor, *state: Tensor) -> tuple[Tensor]:
        """Return the state after one step, `[B, size]`."""
        (hidden,) = state
        inputs_seen, inputs_kept, inputs_new = self.product_of_inputs(inputs).chunk(3, -1)
        state_seen, state_kept, state_new = self.product_of_state(hidden).chunk(3, -1)
        seen, kept = (inputs_seen + state_seen).sigmoid_(), (inputs_kept + state_kept).sigmoid_()
        candidate = torch.addcmul(inputs_new, seen, state_new).tanh_()
        return (torch.lerp(candidate, hidden, kept),)

    def sequence(self, inputs: Tensor, begins: Tensor, *state: Tensor) -> tuple[Tensor]:
        """Return the state after each step, `[T, B, size]`."""
        return (run_gru(self.product_of_inputs(inputs), begins, *state, *self.weights_of_state()),)


class GRUAgent(RecurrentAgent):
    """Gated recurrent units, Cho et al. 2014 (arXiv:1406.1078), in the form of `torch.nn.GRU`.

        r, z = sigmoid(W x + U h + b)        how much of the state is seen, and how much of it stays
        n = tanh(W_n x + r * (U_n h + b_n))
        h' = (1 - z) * n + z * h

    Reads the observation x at `t` and the state h at `t - 1`; writes `<prefix>memory` (`[B, size]`), which is h', and
    `<prefix>memory/hidden` at `t`: `[B, size]`, or, with several layers, `[B, n_layers, size]`, of which the last is
    what is written as features. For the rest see `MemoryAgent`.
    """

    @checked(least={"input_size": 1, "size": 1, "n_layers": 1})
    def __init__(self, input_size: int, size: int = 64, n_layers: int = 1, **options: Unpack[MemoryOptions]) -> None:
        """Build `n_layers` layers of `size` units each; for the options see `MemoryAgent`."""
        super().__init__(GRULayer, input_size, size, n_layers, **options)
