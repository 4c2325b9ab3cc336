"""Drawing windows by priorities: those of which more is to be learned are drawn more often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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

    def of(self, errors: Tensor) -> Tensor:
        """Return the priorities of windows (`[n]`), by what they were off."""
        return errors.float().abs().add_(self.epsilon).pow_(self.exponent).nan_to_num_().clamp_(_LEAST, _MOST)


class PrioritizedWindows(Windows):
    """The windows of frames in a ring, drawn with the probability P(i) = p_i / sum_k p_k.

    The priority p of a window stands at the place of its first frame. Those that can be drawn for the first time have
    the greatest priority that there has been, so that all are drawn soon. In the sums that are drawn from, those stand
    alone that may be drawn: the same ones as of `Windows`.
    """

    def __init__(self, ring: Ring, ends: EpisodeEnds, priorities: Priorities) -> None:
        super().__init__(ring, ends)
        self._priorities = priorities
        #: beta, how far weights make up for probabilities that are not equal.
        self.importance_exponent = 1.0
        #: Those of the windows that were drawn last, `[window, n]`, the same for all frames of each.
        self.weights = torch.empty(0)
        # Those of all frames that a window has begun at, `[capacity_T * B]`, whether one may now or not.
        self._all = torch.empty(0)
        self._greatest = torch.ones((), device=ring.device)
        self._sums: PrioritySums | None = None
        # Up to which row windows have been given priorities, and the rows that the sums are of.
        self._known, self._summed = 0, range(0)
        self._drawn, self._drawn_at = torch.empty(0, dtype=torch.int64), 0

    def draw(self, batch_size: int, window: int) -> Tensor:
        """Draw windows by their priorities, with replacement; return where their frames lie, `[window * batch_size]`.

        Raises:
            ReplayBufferError: no such window is stored yet, or there can be none.
        """
        ring = self._ring
        if self._ranks(window)[1] <= 0:
            raise self._none(window)
        places = self._follow(window).draw(batch_size)
        self._drawn, self._drawn_at = places, ring.steps
        priorities = self._all.index_select(0, places)
        # (N P(i))^-beta, divided by the greatest of the batch (section 3.4).
        least = priorities.amin() if batch_size else 1.0
        self.weights = (priorities / least).expand(window, batch_size).pow(-self.importance_exponent)
        index = places + self.offsets(window)
        return index.remainder_(ring.capacity_steps * ring.batch_size).view(-1)

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
        places, priorities = self._drawn, self._priorities.of(errors.detach())
        if self._drawn_at != self._ring.steps:
            still = self._still_stored(places)
            places, priorities = places[still], priorities[still]
        if not len(places):
            return
        self._all.scatter_reduce_(0, places, priorities, "amax", include_self=False)
        self._greatest = torch.maximum(self._greatest, priorities.amax())
        self._sums.put_greatest(places, priorities)

    def _still_stored(self, places: Tensor) -> Tensor:
        """Return which of the places that were drawn have not been written again, `[n]` bool."""
        ring = self._ring
        size = ring.capacity_steps * ring.batch_size
        newest = self._drawn_at * ring.batch_size - 1
        positions = newest - (newest - places).remainder(size)
        return positions >= ring.rows.start * ring.batch_size

    # ---- what may be drawn ----------------------------------------------------------------------------------------

    def _allocated(self) -> PrioritySums:
        """Return the sums, for which there is memory from now on."""
        if self._sums is None:
            ring = self._ring
            self._all = torch.zeros(ring.capacity_steps * ring.batch_size, device=ring.device)
            self._sums = PrioritySums(len(self._all), ring.device)
        return self._sums

    def _follow(self, window: int) -> PrioritySums:
        """Bring the sums up to date with the windows of `window` frames that may be drawn now, and return them."""
        sums, ring, before = self._allocated(), self._ring, self._summed
        now = range(ring.oldest, max(ring.oldest, ring.steps - window + 1))
        # From here on, frames may begin windows, or begin none any more.
        changed, ends = min(before.stop, now.stop), self._ends.changed_from(ring.batch_size)
        changed = changed if ends is None else min(changed, ends)
        for gone in (range(before.start, min(before.stop, now.start)), range(max(changed, now.start), before.stop)):
            if gone:
                places = self._places(gone)
                sums.put(places, torch.zeros(len(places), device=ring.device))
        new = range(max(self._known, now.start), now.stop)
        if new:
            self._all.index_copy_(0, self._places(new), self._greatest.expand(len(new) * ring.batch_size))
            self._known = now.stop
        come = range(max(changed, now.start), now.stop)
        if come:
            places = self._places(come)
            begin = torch.from_numpy(~self._ends.among(come, ring.batch_size)).view(-1).to(ring.device)
            sums.put(places, self._all.index_select(0, places) * begin)
        self._summed = now
        return sums

    def _places(self, rows: range) -> Tensor:
        """Return where the frames of some rows lie, `[n * B]`."""
        ring = self._ring
        first, stop = rows.start * ring.batch_size, rows.stop * ring.batch_size
        return torch.arange(first, stop, device=ring.device).remainder_(ring.capacity_steps * ring.batch_size)

    # ---- saving ---------------------------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """Return the priorities of all rows that are stored, `[n, B]`, and the greatest so far."""
        ring = self._ring
        if not ring.storage:
            return {}
        self._allocated()
        kept = self._all.index_select(0, self._places(ring.rows)).view(-1, ring.batch_size)
        return {PRIORITIES: kept.cpu(), KNOWN: self._known, GREATEST: float(self._greatest)}

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
        self._all.index_copy_(0, self._places(ring.rows), kept[len(kept) - len(ring.rows) :].flatten().to(ring.device))
        self._greatest.fill_(description[GREATEST])
