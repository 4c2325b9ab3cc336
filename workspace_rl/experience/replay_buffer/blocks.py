"""The blocks of a ring whose frames come from several sources: whose the newest rows are, and how others go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from workspace_rl.experience.replay_buffer.episode_ends import EpisodeEnds
from workspace_rl.experience.replay_buffer.frame_stacks import FrameStacks
from workspace_rl.experience.replay_buffer.reading import frames_at
from workspace_rl.experience.replay_buffer.ring import Ring
from workspace_rl.experience.replay_buffer.weights_age import VERSIONS
from workspace_rl.workspace import Workspace


def rows_for_blocks(longest_window: int, history: int, *, n_sources: int, n_steps: int) -> Callable[[int], int]:
    """Return what tells how many rows blocks take besides those of the frames that are put, by the number of these.

    Each block of at least `n_steps` rows repeats frames, after the `history` of their stacks. Once (at the last
    `end_episodes`) each source has got a block that only repeats, and begun another one with a history of its own.
    """
    repeated = longest_window - 1 + history
    return lambda rows: 0 if n_sources == 1 else -(-rows // n_steps) * repeated + n_sources * (repeated + history)


class Tail(NamedTuple):
    """The last frames of a source, with which its next block begins."""

    #: `[n, B, ...]`, whole stacks.
    frames: Workspace
    #: Which of them end an episode, `[n, B]` on the CPU.
    done: Tensor
    #: The weights' version of each, `[n, B]`, where versions are kept.
    versions: Tensor | None

    @property
    def is_over(self) -> bool:
        """Whether no window would begin in it, if its episodes were cut off at its last frame."""
        return bool(self.done[:-1].all())


class Blocks:
    """Says whose frames the newest rows of a ring are, and keeps the tails of all other sources.

    A block is what is put of one source until another one's turn comes. It begins with the last
    `longest_window - 1` frames of its source's block before, and the last `longest_window - 1` frames of a block begin
    no window (theirs begin in the next block): so a window has frames of one source only, and of all windows of a
    source each can be drawn in one place. Where the episodes of a source are cut off, what it would repeat becomes a
    block of its own, whose last frames end them: windows that go on beyond these have frames of others there.
    """

    def __init__(self, ring: Ring, ends: EpisodeEnds, longest_window: int) -> None:
        self._ring, self._ends, self._n_repeated = ring, ends, longest_window - 1
        #: Whose frames were put last; None before the first ones.
        self.source: int | None = None
        #: The first row of the frames of this source that follow each other up to the last row.
        self.begun = 0
        #: By source.
        self.tails: dict[int, Tail] = {}

    def last_rows(self) -> range:
        """Return the rows of the running block that its source's next block repeats."""
        ring = self._ring
        return range(max(self.begun, ring.steps - self._n_repeated, ring.oldest), ring.steps)

    def places_of(self, rows: range) -> Tensor:
        """Return where the frames of some rows lie, `[n * B]`."""
        ring = self._ring
        environments = torch.arange(ring.batch_size, device=ring.device)
        return (ring.places(rows.start, rows.stop).unsqueeze(1) * ring.batch_size + environments).view(-1)

    def done_of(self, rows: range) -> Tensor:
        """Return which frames of the running block's `rows` end an episode, `[n, B]` on the CPU."""
        return torch.from_numpy(self._ends.among(rows, self._ring.batch_size))

    def tail(self, rows: range, stacks: FrameStacks, done_variable: str) -> Tail:
        """Return the frames of the running block's `rows`."""
        ring, index = self._ring, self.places_of(rows)
        frames, done = frames_at(ring, stacks, index, (len(rows), ring.batch_size)), self.done_of(rows)
        frames.set_full(done_variable, done)
        versions = ring.notes[VERSIONS].index_select(0, index).view(done.shape) if VERSIONS in ring.notes else None
        return Tail(frames, done, versions)

    def close(self, rows: range) -> None:
        """Let no window begin in the block's last `rows`."""
        size = self._ring.batch_size
        self._ends.forget_from(rows.start * size)
        self._ends.append(np.arange(rows.start * size, rows.stop * size))
