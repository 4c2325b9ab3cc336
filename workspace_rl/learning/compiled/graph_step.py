"""The step of an optimiser within a compiled graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd


def attach_graph_step(optimizer: torch.optim.Optimizer) -> GraphStep:
    """Give `optimizer` the step that `minimise` takes in compiled graphs, unless it has one, and return it."""
    step: GraphStep = vars(optimizer).get("graph_step") or GraphStep(optimizer)
    optimizer.graph_step = step  # type: ignore[attr-defined]
    return step


class GraphStep:
    """An optimiser's step within a compiled graph: the functional form of its arithmetic, on its own state."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        """Create the state that the optimiser itself would create at its first step."""
        self.optimizer = optimizer
        #: How often something has changed in the optimiser that counts as constant in a graph.
        self.version = 0
        self._take_over()

    def _take_over(self) -> None:
        #: Why the optimiser cannot step within a graph, or an empty text.
        self.obstacle = _obstacle(self.optimizer)
        self._groups = [] if self.obstacle else [_Group(self.optimizer, group) for group in self.optimizer.param_groups]
        self._held = self._fingerprint()

    def _fingerprint(self) -> list[int]:
        """Return what tells whether the optimiser still has the parameters, the state and the hooks that it had."""
        optimizer = self.optimizer
        # At every update, so without loops in Python.
        held = [*map(id, chain.from_iterable(map(dict.values, optimizer.state.values())))]
        for group in optimizer.param_groups:
            held += map(Tensor.data_ptr, group["params"])
        held.append(len(optimizer._optimizer_step_pre_hooks) + len(optimizer._optimizer_step_post_hooks))
        return held

    def refresh(self) -> None:
        """Take over learning rates that have changed, and whatever else has: a state that was loaded, other settings.

        Only the latter needs another graph, which `version` tells.
        """
        groups = self.optimizer.param_groups
        if self._fingerprint() != self._held or any(map(_Group.is_outdated, self._groups, groups)):
            self.version += 1
            self._take_over()
        for group, settings in zip(self._groups, groups, strict=False):
            if settings["lr"] != group.last_lr:
                group.set_lr(settings["lr"])
        self.optimizer._opt_called = True  # type: ignore[attr-defined]  # schedulers ask whether it has stepped

    def __call__(self, gradients: Sequence[Tensor | None]) -> None:
        """Update the parameters by their gradients, None for a parameter that the loss does not depend on."""
        start = 0
        for group in self._groups:
            stop = start + len(group.parameters)
            group.step(gradients[start:stop])
            start = stop


def _obstacle(optimizer: torch.optim.Optimizer) -> str:
    """Return why the optimiser's step has no functional form here, or an empty text."""
    name = type(optimizer).__name__
    if type(optimizer) not in FUNCTIONAL:
        return name
    if any(group.get("momentum") and group.get("dampening") for group in optimizer.param_groups):
        return f"{name} with dampening"
    if any(group.get("differentiable") for group in optimizer.param_groups):
        return f"{name} with differentiable=True"
    step = vars(optimizer).get("step")
    replaced = step is not None and not getattr(step, "_wrapped_by_lr_sched", False)
    if replaced or optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        return f"{name} with hooks of its own"
    if any(one.is_complex() for group in optimizer.param_groups for one in group["params"]):
        return f"{name} for complex numbers"
    return ""


class _Group:
    """A group of an optimiser's parameters, with their state."""

    def __init__(self, optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> None:
        kind = type(optimizer)
        self._function, names, self._settings = FUNCTIONAL[kind]
        self.parameters: list[Tensor] = list(group["params"])
        fresh: dict[str, Callable[[Tensor], Tensor] | None] = {
            "step": lambda one: torch.zeros((), dtype=torch.float32, device=one.device),
            "momentum_buffer": torch.zeros_like if group.get("momentum") else None,
            "max_exp_avg_sq": torch.zeros_like if group.get("amsgrad") else None,
            "grad_avg": torch.zeros_like if group.get("centered") else None,
        }
        self._state: list[list[Tensor]] = []
        for name in names:
            make = fresh.get(name, torch.zeros_like)
            self._state.append([])
            if make is None:
                continue
            for parameter in self.parameters:
                state = optimizer.state[parameter]
                if not isinstance(state.get(name), Tensor):
                    state[name] = make(parameter)
                self._state[-1].append(state[name])
        self._given = [group[name] for name in self._settings]
        self._options = {"foreach": False, **dict(zip(self._settings, self._given, strict=True))}
        first = self.parameters[0]
        dtype = torch.float64 if first.dtype == torch.float64 else None
        self.lr = torch.zeros((), dtype=dtype, device=first.device)
        self.set_lr(group["lr"])

    def set_lr(self, lr: Any) -> None:
        """Take over a learning rate."""
        self.last_lr = float(lr)
        # Adam's functional form divides by it, 0 by 0 where there has been no gradient.
        self.lr.fill_(max(self.last_lr, torch.finfo(self.lr.dtype).tiny))

    def is_outdated(self, group: dict[str, Any]) -> bool:
        """Return whether the group has other settings than it had, except the learning rate."""
        return [*map(group.__getitem__, self._settings)] != self._given

    def step(self, gradients: Sequence[Tensor | None]) -> None:
        used = [index for index, gradient in enumerate(gradients) if gradient is not None]
        with torch.no_grad():
            self._function(
                [self.parameters[index] for index in used],
                [gradients[index] for index in used],
                *([one[index] for index in used] if one else [] for one in self._state),
                lr=self.lr,
                **self._options,
            )


def _adam(*lists: Any, betas: tuple[float, float], **options: Any) -> None:
    options |= {"beta1": betas[0], "beta2": betas[1], "capturable": True}
    adam(*lists, **options)


def _sgd(parameters: list[Tensor], gradients: list[Tensor], buffers: list[Tensor], **options: Any) -> None:
    sgd(parameters, gradients, list(buffers) or [None] * len(parameters), **options)


def _rmsprop(*lists: Any, **options: Any) -> None:
    options["capturable"] = True
    rmsprop(*lists, **options)


_ADAM = (
    _adam,
    ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"),
    ("betas", "weight_decay", "eps", "amsgrad", "maximize", "decoupled_weight_decay"),
)
#: By class: the function, the names of its state in the order of its arguments, and the names of its settings.
FUNCTIONAL: dict[type, tuple[Callable[..., None], tuple[str, ...], tuple[str, ...]]] = {
    torch.optim.Adam: _ADAM,
    torch.optim.AdamW: _ADAM,
    torch.optim.SGD: (_sgd, ("momentum_buffer",), ("weight_decay", "momentum", "dampening", "nesterov", "maximize")),
    torch.optim.RMSprop: (
        _rmsprop,
        ("square_avg", "grad_avg", "momentum_buffer", "step"),
        ("alpha", "eps", "weight_decay", "momentum", "centered", "maximize"),
    ),
}
