"""The ends of episodes in a replay buffer, by which all other frames are counted and found."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class EpisodeEnds:
    """The positions (step * B + environment, counted from the first frame ever) of the frames that end an episode.

    Frames whose windows begin elsewhere count among them (see `Blocks`). All other frames begin a transition. The r-th
    of those lies at r plus the number of ends before it, which a binary search over `position - ordinal` of the ends
    finds: drawing uniformly needs neither a table of valid frames nor repeated draws.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._positions = np.empty(16, dtype=np.int64)
        self._shifted = torch.empty(16, dtype=torch.int64, device=device)
        self._head = 0  # index of the oldest end that is kept
        self._tail = 0  # one past the newest
        self._forgotten = 0  # how many ends came before index 0
        self._changed: int | None = None  # the least position at which ends were dropped, to be noted anew

    def append(self, positions: np.ndarray) -> None:
        """Add ends after all others, in order."""
        count = len(positions)
        if not count:
            return
        if self._tail + count > len(self._positions):
            self._make_room(count)
        new = slice(self._tail, self._tail + count)
        self._positions[new] = positions
        ordinals = np.arange(self._tail, self._tail + count) + self._forgotten
        self._shifted[new] = torch.from_numpy(positions - ordinals).to(self._device)
        self._tail += count

    def forget_from(self, position: int) -> None:
        """Drop the ends at `position` and after it."""
        self._tail = self._head + int(self._positions[self._head : self._tail].searchsorted(position))
        self._changed = position if self._changed is None else min(self._changed, position)

    def changed_from(self, batch_size: int) -> int | None:
        """Return the row from which on ends have changed since the last call, None where none have."""
        changed, self._changed = self._changed, None
        return None if changed is None else changed // batch_size

    def forget_before(self, position: int) -> None:
        """Drop the ends before `position`."""
        self._head += int(self._positions[self._head : self._tail].searchsorted(position))

    def n_before(self, position: int) -> int:
        """Return how many ends, of all that ever were, lie before `position` (which is stored, or newer)."""
        kept = self._positions[self._head : self._tail]
        return self._forgotten + self._head + int(kept.searchsorted(position))

    def among(self, rows: range, batch_size: int) -> np.ndarray:
        """Return which frames of the `rows` are ends, `[n, B]`."""
        first, stop = rows.start * batch_size, rows.stop * batch_size
        kept = self._positions[self._head : self._tail]
        ends = np.zeros(stop - first, dtype=bool)
        ends[kept[kept.searchsorted(first) : kept.searchsorted(stop)] - first] = True
        return ends.reshape(-1, batch_size)

    def position(self, rank: Tensor) -> Tensor:
        """Return the positions of the frames that end no episode with the given ranks."""
        ends = torch.searchsorted(self._shifted[self._head : self._tail], rank, right=True)
        return ends.add_(rank).add_(self._forgotten + self._head)

    def _make_room(self, count: int) -> None:
        kept = self._tail - self._head
        size = max(16, 2 * (kept + count))
        positions, shifted = np.empty(size, dtype=np.int64), torch.empty(size, dtype=torch.int64, device=self._device)
        positions[:kept] = self._positions[self._head : self._tail]
        shifted[:kept] = self._shifted[self._head : self._tail]
        self._positions, self._shifted = positions, shifted
        self._forgotten += self._head
        self._head, self._tail = 0, kept
