"""Watching updates for NaN and infinity without asking a device for a value.

What decides are the loss and the gradient norm of each `minimise` of an update and, when logs are flushed, the weights.
Metrics that an update returns besides may be anything: they are logged as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import save
from torch import Tensor, nn

from workspace_rl.machine.files import write_bytes
from workspace_rl.workspace import Workspace

#: How many numbers of the first bad update are kept.
_ROOM = 64

#: The values of those who collect, the innermost last. A list: not every torch can trace what is written to a class.
_COLLECTING: list[list[Tensor]] = []


class Steps:
    """Collects the losses and gradient norms of each `minimise` within `with steps:`, in `steps.values`."""

    def __init__(self) -> None:
        """Collect nothing yet."""
        #: Scalars: loss, gradient norm, loss, ...
        self.values: list[Tensor] = []

    def __enter__(self) -> Self:
        """Begin to collect."""
        _COLLECTING.append(self.values)
        return self

    def __exit__(self, *error: object) -> None:
        """Stop collecting."""
        _COLLECTING.pop()

    @staticmethod
    def note(loss: Tensor, norm: Tensor) -> None:
        """Add a step's loss and gradient norm, if anybody collects them."""
        if _COLLECTING:
            _COLLECTING[-1].extend((loss.detach(), norm.detach()))

    def stacked(self) -> Tensor:
        """Return the numbers collected, `[n]`."""
        return _stacked(self.values)

    @staticmethod
    def bad(values: Tensor) -> dict[str, Tensor]:
        """Return by name those of the numbers collected (`[n]`) that are not finite."""
        kinds = ("loss", "gradient norm")
        return {
            f"{kinds[index % 2]} of step {index // 2 + 1} of the update": value
            for index, value in enumerate(values.cpu().unbind())
            if not value.isfinite()
        }


def _stacked(values: Iterable[Tensor]) -> Tensor:
    """Return scalars side by side, in float64 if one of them is, on the device of the first."""
    values = list(values)
    if not values:
        return torch.zeros(0)
    dtype = torch.float64 if any(one.dtype == torch.float64 for one in values) else torch.float32
    return torch.stack([one.detach().reshape(()).to(values[0].device, dtype) for one in values])


class UpdateWatch:
    """Notes the first update with a loss or a gradient that is not finite, and keeps its batch.

    Everything happens by operations on tensors, so that `note` may stand in a compiled graph and a GPU is never waited
    for until `bad` is read.
    """

    def __init__(self, batch: Workspace) -> None:
        """Watch updates on batches that look like `batch`."""
        self._batch = {name: torch.zeros_like(batch.get_full(name)) for name in batch}
        device = next(iter(self._batch.values())).device
        self._values, self._steps = torch.zeros(2, _ROOM, device=device).unbind()
        #: Whether there was such an update, a boolean.
        self.bad = torch.zeros((), dtype=torch.bool, device=device)
        #: How many updates came before it.
        self.n_good = torch.zeros((), dtype=torch.int64, device=device)

    def note(self, batch: Workspace, steps: Tensor, metrics: Mapping[str, Tensor]) -> None:
        """Look at the next update, which was done on `batch`.

        Args:
            batch: like that of the constructor.
            steps: losses and gradient norms, `[n]`, which decide.
            metrics: scalars, which are kept.
        """
        bad = ~steps.isfinite().all().to(self.bad.device)
        first = bad & ~self.bad
        for room, values in ((self._values, _stacked(metrics.values())), (self._steps, steps)):
            kept = room[: len(values)]
            kept.copy_(torch.where(first, values[:_ROOM].to(kept.device), kept))
        for name, tensor in self._batch.items():
            tensor.copy_(torch.where(first, batch.get_full(name), tensor))
        self.bad.logical_or_(bad)
        self.n_good.add_((~self.bad).long())

    def first_bad(self, names: Iterable[str]) -> tuple[Workspace, dict[str, Tensor]]:
        """Return batch and numbers of the first bad update, copies, given the metrics' names in their order."""
        batch = Workspace()
        for name, value in self._batch.items():
            batch.set_full(name, value.clone())
        return batch, dict(zip(names, self._values.clone().unbind(), strict=False)) | Steps.bad(self._steps)


def non_finite_tensors(modules: Mapping[str, nn.Module]) -> list[str]:
    """Return the names of parameters that are not finite, and of buffers with NaN (this waits for the device).

    Infinity may be meant in a buffer, where a minimum begins for instance.
    """
    return [
        f"{module_name}.{name}"
        for module_name, module in modules.items()
        for bad, tensors in ((_not_finite, module.named_parameters()), (torch.isnan, module.named_buffers()))
        for name, value in tensors
        if value.is_floating_point() and bool(bad(value).any())
    ]


def _not_finite(value: Tensor) -> Tensor:
    return ~value.isfinite()


def save_batch(batch: Workspace, path: Path) -> None:
    """Write the variables of a batch as safetensors.

    Raises:
        RunFolderError: the file cannot be written.
    """
    write_bytes(path, save({name: batch.get_full(name).cpu().clone() for name in batch}))
