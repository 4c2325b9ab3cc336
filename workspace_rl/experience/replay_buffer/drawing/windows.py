"""Which windows of successive frames may be drawn from a replay buffer, and drawing them uniformly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from workspace_rl.errors import ReplayBufferError
from workspace_rl.experience.replay_buffer.episode_ends import EpisodeEnds
from workspace_rl.experience.replay_buffer.ring import Ring


class Windows:
    """The windows of frames in a ring whose first frame ends no episode.

    None of them crosses the place where the ring is being written, or begins where stacks are not stored any more.
    """

    def __init__(self, ring: Ring, ends: EpisodeEnds) -> None:
        self._ring, self._ends = ring, ends
        #: The longest window that can be drawn, where frames come from several sources.
        self.longest: int | None = None
        self._offsets: dict[int, Tensor] = {}  # window -> where its frames lie, [window, 1]

    def count(self, window: int) -> int:
        """Return how many windows of `window` frames there are.

        Raises:
            ReplayBufferError: where the frames come from several sources, such a window may have frames of two.
        """
        return max(0, self._ranks(window)[1])

    def draw(self, batch_size: int, window: int) -> Tensor:
        """Draw windows uniformly, with replacement; return where their frames lie, `[window * batch_size]`.

        Raises:
            ReplayBufferError: no such window is stored yet, or there can be none.
        """
        ring = self._ring
        rank, count = self._ranks(window)
        if count <= 0:
            raise self._none(window)
        chosen = torch.randint(count, (batch_size,), device=ring.device).add_(rank)
        index = self._ends.position(chosen) + self.offsets(window)
        return index.remainder_(ring.capacity_steps * ring.batch_size).view(-1)

    def offsets(self, window: int) -> Tensor:
        """Return where the frames of a window lie, counted from its first one, `[window, 1]`."""
        if window not in self._offsets:
            ring = self._ring
            self._offsets[window] = torch.arange(window, device=ring.device).mul_(ring.batch_size).unsqueeze(1)
        return self._offsets[window]

    def describe(self) -> dict[str, Any]:
        """Return what `restore` needs besides the rows: plain data, and tensors on the CPU."""
        return {}

    def restore(self, description: Mapping[str, Any]) -> None:
        """Take over what another one's `describe` returned, whose rows are in the ring."""

    def _ranks(self, window: int) -> tuple[int, int]:
        """Return the rank of the oldest window among all first frames ever put that end no episode, and the count.

        Raises:
            ReplayBufferError: where the frames come from several sources, such a window may have frames of two.
        """
        ring = self._ring
        if self.longest is not None and window > self.longest:
            raise ReplayBufferError(
                f"no window of {window} frames can be sampled: the frames come from several sources, and the buffer "
                f"was made for windows of {self.longest} at most. Make it with ReplayBuffer(..., "
                f"longest_window={window})."
            )
        first = ring.oldest * ring.batch_size
        stop = (ring.steps - window + 1) * ring.batch_size
        if stop <= first:
            return 0, 0
        ends_before = self._ends.n_before(first)
        return first - ends_before, (stop - self._ends.n_before(stop)) - (first - ends_before)

    def _none(self, window: int) -> ReplayBufferError:
        ring = self._ring
        held = ring.capacity_steps - ring.history
        if 0 < held < window:
            return ReplayBufferError(
                f"no window of {window} frames can ever be sampled: a capacity of {ring.capacity:,} holds {held} "
                f"frames of each environment (there are {ring.batch_size}). Give the buffer a larger capacity "
                "(buffer_size)."
            )
        return ReplayBufferError(
            f"no window of {window} frames can be sampled: {max(0, ring.steps - ring.history)} steps of "
            f"{ring.batch_size} environments were put so far. Collect more first (learning_starts)."
        )
