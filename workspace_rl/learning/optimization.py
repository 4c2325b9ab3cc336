"""Optimisers from configurations, gradient steps, and target networks that follow."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from workspace_rl.basics.arguments import checked, require
from workspace_rl.basics.classes import class_path, instantiate_class
from workspace_rl.errors import ConfigError
from workspace_rl.learning.transfer import Pairs
from workspace_rl.learning.watch import Steps

#: Arguments of optimisers that choose among implementations, of which not all are for every device.
_IMPLEMENTATIONS = {"fused", "foreach", "capturable", "differentiable"}


@checked()
def setup_optimizer(config: Mapping[str, Any], *parts: nn.Module | nn.Parameter) -> torch.optim.Optimizer:
    """Build the optimiser that `config` describes for the parameters of `parts`, except frozen ones.

    Args:
        config: `{"classname": "torch.optim.Adam", "lr": 3e-4}` and the class's other arguments. Optimisers that have a
            fused implementation use it unless `fused` is given: it computes the same in one pass.
        *parts: modules or parameters.

    Raises:
        ConfigError: the class does not exist, refuses an argument, cannot train these parameters by their gradients
            (LBFGS computes the loss itself, SparseAdam wants sparse gradients, Muon matrices), or has nothing to
            train: all parameters are frozen.
    """
    everything = [one for part in parts for one in ([part] if isinstance(part, nn.Parameter) else part.parameters())]
    parameters = [one for one in everything if one.requires_grad]
    if not parameters:
        raise ConfigError(
            f"{config.get('classname', 'the optimiser')} was given no parameters to train: "
            + ("all are frozen (requires_grad is False)." if everything else "its modules have none.")
        )

    def build(optimizer_class: type[torch.optim.Optimizer], **arguments: Any) -> torch.optim.Optimizer:
        known = inspect.signature(optimizer_class).parameters
        chosen = _IMPLEMENTATIONS & arguments.keys()
        if "fused" in known and not chosen:
            arguments["fused"] = True
        if optimizer_class not in _FUNCTIONAL or chosen:
            _try_out(optimizer_class, parameters, arguments)
        try:
            return optimizer_class(parameters, **arguments)
        except Exception as error:  # it knows best what it takes
            raise ConfigError(f"{class_path(optimizer_class)} refuses {arguments}: {error}") from error

    optimizer: torch.optim.Optimizer = instantiate_class(config, build)
    return optimizer


def _try_out(optimizer_class: type[torch.optim.Optimizer], parameters: list[Any], arguments: dict[str, Any]) -> None:
    """Let the optimiser take a step on copies of the parameters: not every one is for any parameter and gradient."""
    copies = [nn.Parameter(torch.zeros_like(one)) for one in parameters]
    for one in copies:
        one.grad = torch.zeros_like(one)
    devices = sorted({one.device.index for one in copies if one.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices):
            optimizer_class(copies, **arguments).step()
    except Exception as error:
        given = ", ".join(f"{key}={arguments[key]}" for key in sorted(_IMPLEMENTATIONS & arguments.keys()))
        way_out = f"Leave out {given}." if optimizer_class in _FUNCTIONAL else "torch.optim.Adam and AdamW can."
        raise ConfigError(
            f"{optimizer_class.__name__} cannot train parameters of the shapes {[list(one.shape) for one in copies]} "
            f"by a step on their gradients ({type(error).__name__}: {str(error).rstrip('.')}). {way_out}"
        ) from error


def minimise(loss: Tensor, optimizer: torch.optim.Optimizer, max_grad_norm: float | None = None) -> Tensor:
    """Take one step of `optimizer` down the gradient of `loss`, and return the gradient's norm before clipping.

    Only the gradients of the optimiser's own parameters are computed: the step of an actor costs none of its
    critics' weights.

    Args:
        loss: a scalar.
        optimizer: updates its parameters in place.
        max_grad_norm: the gradient is scaled down to this Euclidean norm if it is longer; None for no limit.

    Raises:
        ConfigError: an argument is of another kind, or `max_grad_norm` is not above 0; in a compiled update,
            `compile_update` was not given this optimiser.
    """
    require(loss, Tensor, "minimise: loss", "a tensor that holds one number")
    if not loss.requires_grad or loss.numel() != 1:
        raise ConfigError(
            f"minimise: loss: one number that gradients flow from expected, a tensor of shape {tuple(loss.shape)} "
            f"{'with' if loss.requires_grad else 'without'} gradients found. Nothing on the way to it may be detached, "
            "or computed under torch.no_grad()."
        )
    require(optimizer, torch.optim.Optimizer, "minimise: optimizer", "an optimiser of torch")
    require(max_grad_norm, (int, float, np.number, type(None)), "minimise: max_grad_norm", "a number or None")
    if max_grad_norm is not None and not max_grad_norm > 0:
        raise ConfigError(
            f"minimise: max_grad_norm: a number above 0, or None for no limit, expected, {max_grad_norm} found."
        )
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    compiling = torch.compiler.is_compiling()
    # Lists of tensors in one call are quicker eagerly, and in a graph slower than what the compiler makes of each.
    norm = nn.utils.get_total_norm([one for one in gradients if one is not None], foreach=not compiling)
    Steps.note(loss, norm)
    if max_grad_norm is not None:
        scale = (max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        gradients = tuple(one if one is None else one * scale for one in gradients)
    if compiling:
        step = getattr(optimizer, "graph_step", None)
        if step is None:
            raise ConfigError(f"compile_update was not given the {type(optimizer).__name__} that the update steps.")
        step(gradients)
    else:
        _take_step(optimizer, gradients)
    return norm.detach()


def _take_step(optimizer: torch.optim.Optimizer, gradients: Sequence[Tensor | None]) -> None:
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None and gradient.stride() != parameter.stride():
            # Fused optimisers pair weights and gradients by their place in memory.
            gradient = torch.empty_like(parameter).copy_(gradient)
        parameter.grad = gradient
    optimizer.step()
    optimizer.zero_grad()


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
                group.last_lr = float(settings["lr"])
                group.lr.fill_(group.last_lr)
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
    if type(optimizer) not in _FUNCTIONAL:
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
        self._function, names, self._settings = _FUNCTIONAL[kind]
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
        self.last_lr = float(group["lr"])
        first = self.parameters[0]
        dtype = torch.float64 if first.dtype == torch.float64 else None
        self.lr = torch.tensor(self.last_lr, dtype=dtype, device=first.device)

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
_FUNCTIONAL: dict[type, tuple[Callable[..., None], tuple[str, ...], tuple[str, ...]]] = {
    torch.optim.Adam: _ADAM,
    torch.optim.AdamW: _ADAM,
    torch.optim.SGD: (_sgd, ("momentum_buffer",), ("weight_decay", "momentum", "dampening", "nesterov", "maximize")),
    torch.optim.RMSprop: (
        _rmsprop,
        ("square_avg", "grad_avg", "momentum_buffer", "step"),
        ("alpha", "eps", "weight_decay", "momentum", "centered", "maximize"),
    ),
}


def attach_graph_step(optimizer: torch.optim.Optimizer) -> GraphStep:
    """Give `optimizer` the step that `minimise` takes in compiled graphs, unless it has one, and return it."""
    step: GraphStep = vars(optimizer).get("graph_step") or GraphStep(optimizer)
    optimizer.graph_step = step  # type: ignore[attr-defined]
    return step


@torch.no_grad()
def soft_update(target: nn.Module, source: nn.Module, tau: float) -> None:
    """Move the parameters of `target` towards those of `source` in place: `target += tau * (source - target)`.

    Buffers, such as running statistics and counters, are copied, whatever `tau` is: they are states, of which a part
    of the way may mean nothing. So are parameters that are whole numbers. With `tau=1` the target becomes the source.
    For batch normalisation this means that target and source have the same running statistics.

    Args:
        target: a module that is built like `source`, usually a deep copy of it.
        source: is left as it is.
        tau: the part of the way, from 0 to 1.

    Raises:
        CompositionError: the modules are not built alike.
        ConfigError: `tau` is not between 0 and 1.
    """
    require(target, nn.Module, "soft_update: target", "a module of torch")
    require(source, nn.Module, "soft_update: source", "a module of torch")
    require(tau, (int, float, np.number), "soft_update: tau", "a number from 0 to 1")
    if not 0 <= tau <= 1:
        raise ConfigError(f"tau: a number from 0 to 1 expected, {tau} found.")
    Pairs(target, source).move(tau)


@torch.no_grad()
def copy_parameters(target: nn.Module, source: nn.Module) -> None:
    """Copy the parameters and buffers of `source` to `target` in place.

    Raises:
        CompositionError: the modules are not built alike.
    """
    Pairs(target, source).copy()
