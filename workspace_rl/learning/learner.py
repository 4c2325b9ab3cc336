"""The learner: does updates, at the precision and in the form that was chosen, and watches their numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from workspace_rl.errors import DivergedError
from workspace_rl.learning.compiled.update import CompiledUpdate, compile_update
from workspace_rl.learning.finite_watch import Steps, UpdateWatch, non_finite_tensors
from workspace_rl.learning.metrics import FINITE, ROW_ERRORS, STEPS, require_metrics
from workspace_rl.learning.precision import matmul_precision
from workspace_rl.workspace import Workspace

Update = Callable[..., dict[str, Tensor]]


class Learner:
    """Does the updates of an algorithm, one for each batch.

    What decides whether an update went wrong are its losses and gradient norms (see `learning.finite_watch`). On a CPU
    it is told at once; on other devices, which are not waited for, when `check` is called.
    """

    def __init__(
        self,
        update: Update,
        *,
        flags: Callable[[int], dict[str, Any]],
        modules: Callable[[], Mapping[str, nn.Module]],
        optimizers: Iterable[torch.optim.Optimizer],
        device: torch.device,
        compiled: bool,
        precision: str = "float32",
        matmul_precision: str = "highest",
        n_updates: int = 0,
    ) -> None:
        """Do updates by `update(batch, **flags(n))`, which returns metrics, scalar tensors.

        Args:
            update: learns from a batch.
            flags: the keyword arguments of the n-th update, counted from 1.
            modules: returns by name what is learned, and whatever else the update uses.
            optimizers: those that the update steps.
            device: where it computes.
            compiled: whether it is compiled into one graph.
            precision: of the products within the update, "float32" or "bf16".
            matmul_precision: of float32 products, "highest", "high" or "medium".
            n_updates: updates that were done before.
        """
        self._flags, self._modules, self._device = flags, modules, device
        self._optimizers = list(optimizers)
        self._matmul_precision = matmul_precision
        #: Updates so far.
        self.n_updates = n_updates
        # On a device that is not waited for: the watch, the number of its first update, names of metrics by flags.
        self.watch: UpdateWatch | None = None
        self._watched_from = 0
        self._metric_names: dict[Any, list[str]] = {}
        self._update = self._watched(update, precision == "bf16")
        #: The update as one graph, None if it runs eagerly.
        self.compiled: CompiledUpdate | None = None
        if compiled:
            self.compiled = compile_update(self._update, self._optimizers, modules().values())

    def learn(self, batch: Workspace) -> dict[str, Tensor]:
        """Do the next update; return its metrics, scalar tensors, and `ROW_ERRORS` if it gives them.

        Raises:
            DivergedError: a loss or a gradient norm is not finite.
            CompositionError: the update returns something else than metrics.
        """
        self.n_updates += 1
        # For updates alone: products of a few rows, as in collecting, are quickest as they are.
        with matmul_precision(self._matmul_precision):
            if self.watch is None and self._device.type != "cpu":
                self.watch_from(self.n_updates, batch)
            flags = self._flags(self.n_updates)
            metrics = (self.compiled or self._update)(batch, **flags)
        if self.watch is not None:
            self._metric_names[tuple(flags.items())] = [name for name in metrics if name != ROW_ERRORS]
        else:
            finite, steps = metrics.pop(FINITE), metrics.pop(STEPS)
            if not finite:
                raise _bad_update(self.n_updates, batch, metrics | Steps.bad(steps))
        return metrics

    def watch_from(self, n: int, batch: Workspace) -> None:
        """Note what goes wrong from update `n` on without waiting for the device; batches look like `batch`."""
        self.watch, self._watched_from = UpdateWatch(batch), n

    def check(self) -> None:
        """Look at what a device was not waited for, and at the weights.

        Raises:
            DivergedError: an update or a weight has gone wrong.
        """
        self.check_updates()
        broken = non_finite_tensors(self._modules())
        if broken:
            raise DivergedError(
                f"after update {self.n_updates:,}, weights are not finite: {', '.join(broken)}.", update=self.n_updates
            )

    def weights(self) -> dict[str, Tensor]:
        """Return by name all parameters of what is learned, and whatever else optimisers step."""
        found = {
            f"{module_name}.{name}": one
            for module_name, module in self._modules().items()
            for name, one in module.named_parameters()
        }
        known = {*map(id, found.values())}
        loose = [one for some in self._optimizers for group in some.param_groups for one in group["params"]]
        return found | {f"parameter {n} of optimisers": one for n, one in enumerate(loose) if id(one) not in known}

    def check_updates(self) -> None:
        """Look at the updates alone.

        Raises:
            DivergedError: one has gone wrong, and was not waited for.
        """
        if self.watch is not None and bool(self.watch.bad):
            n = self._watched_from + int(self.watch.n_good)
            names = self._metric_names[tuple(self._flags(n).items())]
            raise _bad_update(n, *self.watch.first_bad(names))

    def _watched(self, update: Update, coarse: bool) -> Update:
        """Return `update` with its numbers watched: this is what gets compiled."""
        who = getattr(update, "__self__", update)
        name = getattr(who, "__name__", type(who).__name__)
        device = self._device.type

        def watched(batch: Workspace, **flags: Any) -> dict[str, Tensor]:
            # Without a cache: weights change in between, and their copies in bfloat16 with them.
            with torch.autocast(device, torch.bfloat16, enabled=coarse, cache_enabled=False), Steps() as steps:
                metrics = update(batch, **flags)
            require_metrics(metrics, name)
            numbers = steps.stacked()
            if self.watch is None:  # reading a value costs nothing on a CPU
                return {**metrics, FINITE: numbers.isfinite().all(), STEPS: numbers}
            scalars = {name: one for name, one in metrics.items() if name != ROW_ERRORS}
            self.watch.note(batch, numbers, scalars)
            return metrics

        return watched


def _bad_update(n: int, batch: Workspace, metrics: Mapping[str, Tensor]) -> DivergedError:
    values = {name: float(one) for name, one in metrics.items() if name != ROW_ERRORS}
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    listed = ", ".join(f"{name} = {value:.6g}" for name, value in values.items())
    return DivergedError(
        f"update {n:,} gave numbers that are not finite, {', '.join(bad)}: {listed}.", update=n, batch=batch
    )
