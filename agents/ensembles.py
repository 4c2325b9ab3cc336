"""Ensembles: networks that look at the same and are evaluated together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from workspace_rl.agents.blocks import build_network
from workspace_rl.agents.networks import first_weight, output_product
from workspace_rl.basics.arguments import checked
from workspace_rl.errors import ConfigError


class EnsembleMLP(nn.Module):
    """N perceptrons, evaluated together: `[B, inputs]` to `[B, N]`, or to `[B, N, n_outputs]`.

    The first layers of all members are one wide product over the shared input, and the last ones, with one output
    each, a sum; only the layers between are N products. Members are initialised independently, as `torch.nn.Linear`
    does. Each member may also be given inputs of its own, a list of N.
    """

    @checked(least={"inputs": 1, "hidden_sizes": 1, "n_members": 1, "n_outputs": 1})
    def __init__(
        self,
        inputs: int,
        hidden_sizes: Sequence[int],
        n_members: int,
        activation: type[nn.Module] = nn.ReLU,
        n_outputs: int | None = None,
    ) -> None:
        """Build `n_members` perceptrons with `inputs` inputs and the given hidden layers.

        With `n_outputs` there are so many outputs of each; None for one, which has no dimension of its own.

        Raises:
            ConfigError: there is no hidden layer.
        """
        super().__init__()
        if not hidden_sizes:
            raise ConfigError("hidden_sizes: at least one hidden layer expected, none found. Give its size: [64].")
        self.n_members = n_members
        self.first = nn.Linear(inputs, n_members * hidden_sizes[0])
        self.middle = nn.ModuleList(
            nn.ModuleList(nn.Linear(size_in, size_out) for _ in range(n_members))
            for size_in, size_out in pairwise(hidden_sizes)
        )
        bound = 1 / math.sqrt(hidden_sizes[-1])
        each = () if n_outputs is None else (n_outputs,)
        self.last_weight = nn.Parameter(torch.empty(n_members, *each, hidden_sizes[-1]).uniform_(-bound, bound))
        self.last_bias = nn.Parameter(torch.empty(n_members, *each).uniform_(-bound, bound))
        self.activation = activation()

    def forward(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        """Return the members' outputs, `[B, N]` or `[B, N, n_outputs]`, for inputs `[B, inputs]`, of all or of each."""
        if isinstance(inputs, Tensor):
            hidden = list(self.activation(self.first(inputs)).chunk(self.n_members, dim=-1))
        else:
            weights, biases = self.first.weight.chunk(self.n_members), self.first.bias.chunk(self.n_members)
            each = zip(inputs, weights, biases, strict=True)
            hidden = [self.activation(functional.linear(one, weight, bias)) for one, weight, bias in each]
        for layers in self.middle:
            hidden = [self.activation(layer(one)) for layer, one in zip(layers, hidden, strict=True)]  # type: ignore[call-overload]
        if self.last_bias.ndim > 1:
            last = zip(hidden, self.last_weight, self.last_bias, strict=True)
            return torch.stack([output_product(one, weight, bias) for one, weight, bias in last], dim=-2)
        return (torch.stack(hidden, dim=-2) * self.last_weight).sum(-1) + self.last_bias

    @property
    def weight(self) -> Tensor:
        """The first weight, by which inputs know their dtype and device."""
        return self.first.weight


class Ensemble(nn.Module):
    """N networks of any blocks (see `build_network`), one after the other: `[B, inputs]` to `[B, N, ...]`.

    Each member may also be given inputs of its own, a list of N.
    """

    @checked(least={"inputs": 1, "hidden_sizes": 1, "n_members": 1, "n_outputs": 1})
    def __init__(
        self,
        inputs: int,
        hidden_sizes: Sequence[int],
        n_members: int,
        activation: type[nn.Module] = nn.ReLU,
        n_outputs: int | None = None,
        *,
        block: str = "plain",
        dropout: float = 0.0,
    ) -> None:
        """Build `n_members` networks with `n_outputs` outputs each; None for one, without a dimension of its own.

        Raises:
            ConfigError: they cannot be built like this.
        """
        super().__init__()
        self.has_one_output = n_outputs is None
        self.members = nn.ModuleList(
            build_network(inputs, hidden_sizes, n_outputs or 1, block=block, dropout=dropout, activation=activation)
            for _ in range(n_members)
        )

    def forward(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        """Return the members' outputs, `[B, N]` or `[B, N, n_outputs]`, for inputs `[B, inputs]`, of all or of each."""
        each = [inputs] * len(self.members) if isinstance(inputs, Tensor) else inputs
        outputs = [member(one) for member, one in zip(self.members, each, strict=True)]
        return torch.cat(outputs, -1) if self.has_one_output else torch.stack(outputs, -2)

    @property
    def weight(self) -> Tensor:
        """The first weight, by which inputs know their dtype and device."""
        return first_weight(*self.members)


def make_ensemble(
    inputs: int,
    hidden_sizes: Sequence[int],
    n_members: int,
    activation: type[nn.Module] = nn.ReLU,
    n_outputs: int | None = None,
    *,
    block: str = "plain",
    dropout: float = 0.0,
) -> EnsembleMLP | Ensemble:
    """Return the quickest ensemble of such networks (see `build_network`)."""
    if block == "plain" and not dropout:
        return EnsembleMLP(inputs, hidden_sizes, n_members, activation, n_outputs)
    return Ensemble(inputs, hidden_sizes, n_members, activation, n_outputs, block=block, dropout=dropout)
