"""What layers of recurrent networks have in common: a product of their inputs, and one of their state."""

from __future__ import annotations

from typing import ClassVar, TypeVar

import torch
from torch import nn

from workspace_rl.agents.networks import orthogonal

L = TypeVar("L", bound="RecurrentLayer")


class RecurrentLayer(nn.Module):
    """A layer whose gates see the inputs and the state, each through weights of its own.

    The weights lie as those of torch's recurrent layers do: `of_inputs.weight` is `weight_ih_l0`, and so on.
    """

    #: Numbers that each unit gets of a product.
    n_gates: ClassVar[int]

    def __init__(self, inputs: int, size: int) -> None:
        """Build a layer of `size` units, with orthogonal weights for each gate."""
        super().__init__()
        self.size = size
        self.of_inputs = nn.Linear(inputs, self.n_gates * size)
        self.of_state = nn.Linear(size, self.n_gates * size)
        for product in (self.of_inputs, self.of_state):
            gates = [orthogonal(nn.Linear(product.in_features, size), 1.0) for _ in range(self.n_gates)]
            with torch.no_grad():
                product.weight.copy_(torch.cat([gate.weight for gate in gates]))
                product.bias.zero_()


def recurrent_layers(kind: type[L], inputs: int, size: int, n_layers: int) -> nn.ModuleList:
    """Return `n_layers` layers, each of which reads what the one before it has written."""
    return nn.ModuleList(kind(size if index else inputs, size) for index in range(n_layers))
