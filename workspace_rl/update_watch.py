"""Watching updates for NaN and infinity without asking a device for a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from workspace_rl.files import write_bytes
from workspace_rl.workspace import Workspace

#: How many metrics of the first bad update are kept.
_ROOM = 64


def all_finite(metrics: Mapping[str, Tensor]) -> Tensor:
    """Return whether all metrics, scalars, are finite: one boolean, on their device."""
    values = [one.detach().float() for one in metrics.values()]
    return torch.stack(values).isfinite().all() if values else torch.tensor(True)


class UpdateWatch:
    """Notes the first update with a metric that is not finite, and keeps its batch.

    Everything happens by operations on tensors, so that `note` may stand in a compiled graph and a GPU is never waited
    for until `bad` is read.
    """

    def __init__(self, batch: Workspace) -> None:
        """Watch updates on batches that look like `batch`."""
        self._batch = {name: torch.zeros_like(batch.get_full(name)) for name in batch}
        device = next(iter(self._batch.values())).device
        self._values = torch.zeros(_ROOM, device=device)
        #: Whether there was such an update, a boolean.
        self.bad = torch.zeros((), dtype=torch.bool, device=device)
        #: How many updates came before it.
        self.n_good = torch.zeros((), dtype=torch.int64, device=device)

    def note(self, batch: Workspace, metrics: Mapping[str, Tensor]) -> None:
        """Look at the metrics, scalars, of the next update, which was done on `batch`."""
        values = torch.stack([one.detach().float() for one in metrics.values()])[:_ROOM]
        bad = ~values.isfinite().all()
        first = bad & ~self.bad
        kept = self._values[: len(values)]
        kept.copy_(torch.where(first, values, kept))
        for name, tensor in self._batch.items():
            tensor.copy_(torch.where(first, batch.get_full(name), tensor))
        self.bad.logical_or_(bad)
        self.n_good.add_((~self.bad).long())

    def first_bad(self, names: Iterable[str]) -> tuple[Workspace, dict[str, Tensor]]:
        """Return batch and metrics of the first bad update, given the metrics' names in their order."""
        batch = Workspace()
        for name, value in self._batch.items():
            batch.set_full(name, value)
        return batch, dict(zip(names, self._values.unbind(), strict=False))


def non_finite_tensors(modules: Mapping[str, nn.Module]) -> list[str]:
    """Return the names of parameters and buffers that are not finite (this waits for the device)."""
    return [
        f"{module_name}.{name}"
        for module_name, module in modules.items()
        for name, value in (*module.named_parameters(), *module.named_buffers())
        if value.is_floating_point() and not bool(value.isfinite().all())
    ]


def save_batch(batch: Workspace, path: Path) -> None:
    """Write the variables of a batch as safetensors.

    Raises:
        RunFolderError: the file cannot be written.
    """
    write_bytes(path, save({name: batch.get_full(name).cpu().clone() for name in batch}))
