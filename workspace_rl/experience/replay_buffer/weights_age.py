"""How old the weights were that made the frames which are learned from."""

from __future__ import annotations

import torch
from torch import Tensor

#: What a ring notes of each frame: the number of the update that made the weights which acted.
VERSIONS = "weights_version"
#: The version of frames of which nobody knows it.
UNKNOWN = -1
#: Batches that are kept before they are summed up.
_KEPT = 512


class WeightsAge:
    """Sums up over batches the age of weights: how many updates came before each batch, less the weights' version.

    Noting a batch keeps a reference and waits for nothing; numbers are computed when somebody asks for them.
    """

    def __init__(self) -> None:
        self._batches: list[Tensor] = []
        self._sums: list[Tensor] = []  # of the batches before these
        self._last: Tensor | None = None

    def note(self, versions: Tensor) -> None:
        """Take the versions `[N]` of the first frames of a batch that is now learned from."""
        self._last = versions
        self._batches.append(versions)
        if len(self._batches) == _KEPT:
            self._sums.append(_summed(self._batches))
            self._batches.clear()

    def metrics(self, n_updates: int) -> dict[str, float]:
        """Return mean and maximum, in updates, over the batches since the last call; nothing if there were none.

        Args:
            n_updates: how many updates have been done, one on each batch.
        """
        sums = [*self._sums, *([_summed(self._batches)] if self._batches else [])]
        self._sums.clear()
        self._batches.clear()
        if not sums:
            return {}
        n_known, total, oldest = torch.cat(sums, 1).cpu()
        before = torch.arange(n_updates - len(total), n_updates)
        if not n_known.any():
            return {}
        mean = ((n_known * before).sum() - total.sum()).item() / n_known.sum().item()
        return {"weights_age/mean": mean, "weights_age/max": float((before - oldest)[n_known > 0].max())}

    def last(self, n_updates: int) -> Tensor:
        """Return the ages in the last batch, `[n]` int64, those that are known; `n_updates` with the one on it."""
        if self._last is None:
            return torch.empty(0, dtype=torch.int64)
        versions = self._last.cpu().long()
        return n_updates - 1 - versions[versions != UNKNOWN]


def _summed(batches: list[Tensor]) -> Tensor:
    """Return of each batch how many versions are known, their sum, and the oldest, `[3, batches]` int64."""
    versions = torch.stack(batches).long()
    known = versions != UNKNOWN
    total = torch.where(known, versions, 0).sum(1)
    oldest = torch.where(known, versions, torch.iinfo(torch.int64).max).amin(1)
    return torch.stack((known.sum(1), total, oldest))
