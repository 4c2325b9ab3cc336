"""Losses whose gradients optimisers have used, and whose parameters these are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from workspace_rl.inspection.origins.origins import Origins


@dataclass(eq=False)
class Training:
    """A loss whose gradient an optimiser has used."""

    origins: Origins
    #: The names of the functions that computed it.
    losses: tuple[str, ...]
    part: str
    #: The optimiser's name.
    optimizer: str
    #: The names of the agents and modules of which it trains parameters, in the order of the optimiser.
    trains: tuple[str, ...]
    #: Their keys, as in `Net`.
    keys: frozenset[int]


@dataclass(eq=False)
class _Gradient:
    """A gradient that has been computed and not yet been used."""

    origins: Origins
    losses: tuple[str, ...]
    parameters: dict[int, Tensor]


@dataclass(eq=False)
class Owners:
    """To whom parameters belong."""

    #: By the parameter's id: the owner's key and name.
    known: dict[int, tuple[int, str]] = field(default_factory=dict)
    #: By key: the shapes of the owner's parameters.
    shapes: dict[int, tuple[Any, ...]] = field(default_factory=dict)

    def add(self, module: nn.Module, name: str) -> None:
        """Let the parameters of `module` be its own."""
        self.shapes[id(module)] = tuple(sorted(tuple(one.shape) for one in module.parameters()))
        for parameter in module.parameters():
            self.known[id(parameter)] = (id(module), name)

    def of(self, parameter: Tensor) -> tuple[int, str]:
        """Return key and name of the owner of a parameter."""
        return self.known.get(id(parameter), (id(parameter), "a parameter"))


class Gradients:
    """Gradients that have been computed, and the trainings that have come of them."""

    def __init__(self, owners: Owners, part: str) -> None:
        """Begin without any, in a part of the program."""
        self.owners, self.part = owners, part
        self.trainings: list[Training] = []
        self._pending: list[_Gradient] = []

    def computed(self, origins: Origins, losses: tuple[str, ...], parameters: dict[int, Tensor]) -> None:
        """Note that the gradient of a loss has been computed for `parameters`, which are given by their ids."""
        self._pending.append(_Gradient(origins, losses, dict(parameters)))

    def stepped(self, optimizer: torch.optim.Optimizer, name: str) -> None:
        """Note that an optimiser uses the gradients of its parameters."""
        own = [one for group in optimizer.param_groups for one in group["params"]]
        for gradient in self._pending:
            used = [self.owners.of(one) for one in own if gradient.parameters.pop(id(one), None) is not None]
            if used:
                names = tuple(dict.fromkeys(owner for _, owner in used))
                keys = frozenset(key for key, _ in used)
                training = Training(gradient.origins, gradient.losses, self.part, name, names, keys)
                self.trainings.append(training)

    def cleared(self, optimizer: torch.optim.Optimizer) -> None:
        """Note that an optimiser has forgotten the gradients of its parameters."""
        own = {id(one) for group in optimizer.param_groups for one in group["params"]}
        for gradient in self._pending:
            gradient.parameters = {key: one for key, one in gradient.parameters.items() if key not in own}


def leaves(loss: Tensor) -> dict[int, Tensor]:
    """Return the tensors that a gradient of `loss` reaches, by their ids."""
    found: dict[int, Tensor] = {}
    seen: set[Any] = set()
    stack = [loss.grad_fn] if loss.grad_fn is not None else []
    while stack:
        node: Any = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            found[id(variable)] = variable
        stack += [one for one, _ in node.next_functions if one is not None]
    return found
