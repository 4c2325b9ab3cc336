"""Stacks of pictures, of which a replay buffer stores single pictures and which it rebuilds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from workspace_rl.errors import ReplayBufferError, did_you_mean
from workspace_rl.experience.replay_buffer.ring import Ring, bits
from workspace_rl.workspace import Workspace

#: What a ring notes of each frame for its stacks: how many frames of its episode lie before it, at most its `history`.
AGES = "ages"


class FrameStacks:
    """The variables `[T, B, n, ...]`, the newest picture last, of which a ring stores the newest pictures.

    A frame's age, how many frames of its episode lie before it, tells which pictures its stack is made of: those of
    the frames before it, and, where the episode is younger than the stack, zeros or copies of its first picture.
    """

    def __init__(self, sizes: Mapping[str, int], stored: Sequence[str], done_variable: str, ring: Ring) -> None:
        """Rebuild stacks of `sizes[name]` pictures from `ring`, which is to hold `stored` and `done_variable`.

        Raises:
            ReplayBufferError: a size is impossible, or a variable is not stored.
        """
        for name, size in sizes.items():
            if not 1 <= size <= 256:  # ages are stored in a byte
                raise ReplayBufferError(f"the stacks of {name!r} may hold 1 to 256 pictures, not {size}.")
        for name in sizes:
            if name not in stored:
                raise ReplayBufferError(
                    f"stacked variable {name!r} is not among those that are stored.{did_you_mean(name, stored)}"
                )
        self.sizes = dict(sizes)
        self._stored, self._done_variable, self._ring = stored, done_variable, ring
        #: By name whether stacks are filled by zeros, or by copies of the episode's first picture; None for unknown.
        self.zeros: dict[str, bool | None] = dict.fromkeys(sizes)

    def new_ages(self, frames: Workspace, goes_on: bool) -> Tensor:
        """Return the ages `[T, B]` of frames that are to be put, and look at the stacks where episodes start.

        Raises:
            ReplayBufferError: the stacks there cannot be rebuilt.
        """
        ring = self._ring
        done = frames.get_full(self._done_variable).to(ring.device)
        if goes_on:
            last = (ring.steps - 1) % ring.capacity_steps
            begins = torch.cat((ring.rows_of(self._done_variable)[last : last + 1], done[:-1]))
            age_before = ring.rows_of_note(AGES)[last].long()
        else:
            # The frames before the first one will be those that its stack holds.
            begins = torch.cat((torch.zeros_like(done[:1]), done[:-1]))
            age_before = torch.full_like(done[0], ring.history - 1, dtype=torch.int64)
        if begins.any():
            for name in self.sizes:
                value = frames.get_full(name)
                self._look_at_starts(name, value[begins.to(value.device)])
        steps = torch.arange(1, len(done) + 1, device=ring.device).unsqueeze(1)
        latest_begin = torch.where(begins, steps, -age_before).cummax(0).values
        return (steps - latest_begin).clamp_(max=ring.history).to(torch.uint8)

    def put_history(self, frames: Workspace) -> np.ndarray:
        """Store the older pictures of the first frame's stacks as rows of their own; return where no window begins.

        So the first stacks can be rebuilt whether an episode starts there or not.
        """
        ring, history = self._ring, self._ring.history
        places = ring.places(ring.steps, ring.steps + history)
        for name in self._stored:
            first = frames.get_full(name)[:1].to(ring.device)
            if name in self.sizes:
                pictures = torch.arange(history) - (history + 1 - self.sizes[name])
                first = first[0][:, pictures.clamp_(min=0)].transpose(0, 1)
            bits(ring.rows_of(name))[places] = bits(first)
        ring.rows_of(self._done_variable)[places] = True
        ring.rows_of_note(AGES)[places] = 0
        ring.steps += history
        return np.arange((ring.steps - history) * ring.batch_size, ring.steps * ring.batch_size)

    def pictures(self, index: Tensor, name: str) -> Tensor:
        """Return where the pictures `[n, size]` lie that make up the stacks of the frames at `index` (`[n]`)."""
        n_frames = self._ring.capacity_steps * self._ring.batch_size
        age = self._ring.notes[AGES].index_select(0, index).long().unsqueeze(1)
        back = torch.arange(self.sizes[name] - 1, -1, -1, device=index.device)
        pictures = (index.unsqueeze(1) - torch.minimum(back, age) * self._ring.batch_size).remainder_(n_frames)
        return pictures.masked_fill_(back > age, n_frames) if self.zeros[name] else pictures

    def _look_at_starts(self, name: str, stacks: Tensor) -> None:
        """Find out from the stacks `[n, size, ...]` with which episodes start how they are filled.

        Raises:
            ReplayBufferError: neither with zeros nor with copies, or not as before.
        """
        older, newest = stacks[:, :-1], stacks[:, -1:]
        zeros, copies = bool((older == 0).all()), bool((older == newest).all())
        if zeros and copies:  # black pictures
            return
        if zeros == copies or self.zeros[name] not in (None, zeros):
            raise ReplayBufferError(
                f"the stacks of {name!r} cannot be rebuilt from single pictures: with the newest last, they must be "
                "filled where an episode starts, in all episodes alike, by zeros or by copies of the first picture. "
                "Do not name the variable in 'stacked'."
            )
        self.zeros[name] = zeros
