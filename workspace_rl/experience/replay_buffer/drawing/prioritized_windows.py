"""Drawing windows by priorities: those of which more is to be learned are drawn more often."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workspace_rl.errors import ReplayBufferError
from workspace_rl.experience.replay_buffer.drawing.priority_sums import PrioritySums
from workspace_rl.experience.replay_buffer.drawing.windows import Windows
from workspace_rl.experience.replay_buffer.episode_ends import EpisodeEnds
from workspace_rl.experience.replay_buffer.ring import Ring

#: What priorities, up to which row there are any, and the greatest of all so far are called in descriptions.
PRIORITIES, KNOWN, GREATEST = "priorities", "rows_with_priorities", "greatest_priority"
#: Priorities are kept within these: sums of them are finite, and so are weights.
_LEAST, _MOST = 1e-15, 1e15


@dataclass(frozen=True)
class Priorities:
    """How errors become priorities, p = (|error| + epsilon)^exponent (Schaul et al. 2016, equation 1).

    Attributes:
        exponent: alpha; 0 draws uniformly.
        epsilon: what is added to errors, so that no window is never drawn again.
    """

    exponent: float = 0.6
    epsilon: float = 1e-6

    def of(self, errors: np.ndarray) -> np.ndarray:
        """Return the priorities of windows (`[n]` float32), by what they were off."""
        priorities: np.ndarray = np.abs(errors)
        priorities += self.epsilon
        priorities **= self.exponent
        # Those of errors that are no numbers are the least.
        np.fmax(priorities, _LEAST, out=priorities)
        np.fmin(priorities, _MOST, out=priorities)
        return priorities


class PrioritizedWindows(Windows):
    """The windows of frames in a ring, drawn with the probability P(i) = p_i / sum_k p_k.

    The priority p of a window stands at the place of its first frame. Those that can be drawn for the first time have
    the greatest priority that there has been, so that all are drawn soon. In the sums that are drawn from, those stand
    alone that may be drawn: the same ones as of `Windows`. Priorities are in the CPU's memory, wherever the ring is.
    """

    def __init__(self, ring: Ring, ends: EpisodeEnds, priorities: Priorities) -> None:
        super().__init__(ring, ends)
        self._priorities = priorities
        #: beta, how far weights make up for probabilities that are not equal.
        self.importance_exponent = 1.0
        #: Those of the windows that were drawn last, `[window, n]`, the same for all frames of each.
        self.weights = torch.empty(0)
        # Those of all frames that a window has begun at, `[capacity_T * B]`, whether one may now or not.
        self._all = np.empty(0, dtype=np.float32)
        self._greatest = 1.0
        self._sums: PrioritySums | None = None
        # Up to which row windows have been given priorities, and the rows that the sums are of.
        self._known, self._summed = 0, range(0)
        self._drawn, self._drawn_at = np.empty(0, dtype=np.int64), 0

    def draw(self, batch_size: int, window: int) -> Tensor:
        """Draw windows by their priorities, with replacement; return where their frames lie, `[window * batch_size]`.

        Raises:
            ReplayBufferError: no such window is stored yet, or there can be none.
        """
        ring = self._ring
        if self._ranks(window)[1] <= 0:
            raise self._none(window)
        sums = self._follow(window)
        places = sums.draw(batch_size)
        self._drawn, self._drawn_at = places, ring.steps
        priorities = sums.numbers[places]
        # (N P(i))^-beta, divided by the greatest of the batch (section 3.4).
        weights = np.empty((window, batch_size), dtype=np.float32)
        np.power(priorities / priorities.min(initial=_MOST), -self.importance_exponent, out=weights)
        self.weights = torch.from_numpy(weights).to(ring.device)
        index = places + np.arange(0, window * ring.batch_size, ring.batch_size)[:, np.newaxis]
        index %= len(self._all)
        return torch.from_numpy(index.ravel()).to(ring.device)

    def learned(self, errors: Tensor) -> None:
        """Give the windows that were drawn last the priorities of their `errors` (`[n]`).

        Of a window that was drawn more than once, the greatest counts. Windows that are not stored any more have none.

        Raises:
            ReplayBufferError: there are more or fewer.
        """
        if errors.shape != self._drawn.shape or self._sums is None:
            raise ReplayBufferError(
                f"errors of the windows that were drawn last expected, [{len(self._drawn)}], {list(errors.shape)} found"
                ". Sample a batch, learn from it, and give its errors, [batch_size], in this order."
            )
        places, priorities = self._drawn, self._priorities.of(errors.float().numpy(force=True))
        if self._drawn_at != self._ring.steps:
            still = self._still_stored(places)
            places, priorities = places[still], priorities[still]
        if not len(places):
            return
        self._all[places] = 0
        np.maximum.at(self._all, places, priorities)
        self._greatest = max(self._greatest, float(priorities.max()))
        self._sums.put(places, self._all[places])

    def _still_stored(self, places: np.ndarray) -> np.ndarray:
        """Return which of the places that were drawn have not been written again, `[n]` bool."""
        ring = self._ring
        newest = self._drawn_at * ring.batch_size - 1
        positions = newest - (newest - places) % len(self._all)
        return positions >= ring.rows.start * ring.batch_size

    # ---- what may be drawn ----------------------------------------------------------------------------------------

    def _allocated(self) -> PrioritySums:
        """Return the sums, for which there is memory from now on."""
        if self._sums is None:
            self._all = np.zeros(self._ring.capacity_steps * self._ring.batch_size, dtype=np.float32)
            self._sums = PrioritySums(len(self._all))
        return self._sums

    def _follow(self, window: int) -> PrioritySums:
        """Bring the sums up to date with the windows of `window` frames that may be drawn now, and return them."""
        sums, ring, before = self._allocated(), self._ring, self._summed
        now = range(ring.oldest, max(ring.oldest, ring.steps - window + 1))
        ends = self._ends.changed_from(ring.batch_size)
        if ends is None and now == before:
            return sums
        # From here on, frames may begin windows, or begin none any more.
        changed = min(before.stop, now.stop) if ends is None else min(before.stop, now.stop, ends)
        for gone in (range(before.start, min(before.stop, now.start)), range(max(changed, now.start), before.stop)):
            for _, run in self._runs(gone):
                sums.put_run(run, 0.0)
        for _, run in self._runs(range(max(self._known, now.start), now.stop)):
            self._all[run] = self._greatest
        if now:
            self._known = max(self._known, now.stop)
        for rows, run in self._runs(range(max(changed, now.start), now.stop)):
            sums.put_run(run, self._all[run] * ~self._ends.among(rows, ring.batch_size).ravel())
        self._summed = now
        return sums

    def _runs(self, rows: range) -> Iterator[tuple[range, slice]]:
        """Yield the rows in parts that are not cut by the ring's end, two at most, and the places of their frames."""
        n, size = self._ring.capacity_steps, self._ring.batch_size
        cut = rows.start + n - rows.start % n
        for part in (range(rows.start, min(rows.stop, cut)), range(cut, rows.stop)):
            if part:
                first = part.start % n * size
                yield part, slice(first, first + len(part) * size)

    # ---- saving ---------------------------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """Return the priorities of all rows that are stored, `[n, B]`, and the greatest so far."""
        ring = self._ring
        if not ring.storage:
            return {}
        self._allocated()
        kept = np.concatenate([self._all[run] for _, run in self._runs(ring.rows)]).reshape(-1, ring.batch_size)
        return {PRIORITIES: torch.from_numpy(kept), KNOWN: self._known, GREATEST: self._greatest}

    def restore(self, description: Mapping[str, Any]) -> None:
        """Take over what another one's `describe` returned, whose rows are in the ring."""
        ring, kept = self._ring, description.get(PRIORITIES)
        self._known, self._summed, self._sums = description.get(KNOWN, 0), range(0), None
        if kept is None or not ring.storage:
            return
        fits = kept.ndim == 2 and kept.dtype == torch.float32 and kept.shape[1] == ring.batch_size
        if not fits or len(kept) < len(ring.rows):
            raise ReplayBufferError(
                f"saved priorities do not fit: [{len(ring.rows)}, {ring.batch_size}] of torch.float32 expected, "
                f"{list(kept.shape)} of {kept.dtype} found."
            )
        self._allocated()
        newest = kept[len(kept) - len(ring.rows) :].numpy(force=True)
        for rows, run in self._runs(ring.rows):
            self._all[run] = newest[rows.start - ring.rows.start :][: len(rows)].ravel()
        self._greatest = float(description[GREATEST])
