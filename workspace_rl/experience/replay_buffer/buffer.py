"""The replay buffer: a workspace that forgets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workspace_rl.basics.arguments import checked
from workspace_rl.errors import ReplayBufferError
from workspace_rl.experience.hindsight.episodes import Episodes
from workspace_rl.experience.hindsight.hindsight import Hindsight
from workspace_rl.experience.replay_buffer.blocks import Blocks, rows_for_blocks
from workspace_rl.experience.replay_buffer.checks import check_hindsight, checked_frames, checked_sizes
from workspace_rl.experience.replay_buffer.drawing.prioritized_windows import Priorities, PrioritizedWindows
from workspace_rl.experience.replay_buffer.drawing.windows import Windows
from workspace_rl.experience.replay_buffer.episode_ends import EpisodeEnds
from workspace_rl.experience.replay_buffer.frame_stacks import AGES, FrameStacks
from workspace_rl.experience.replay_buffer.reading import frames_at, layouts
from workspace_rl.experience.replay_buffer.ring import Ring
from workspace_rl.experience.replay_buffer.saved_rows import read_rows, restore_rows
from workspace_rl.experience.replay_buffer.weights_age import VERSIONS
from workspace_rl.machine.devices import torch_device
from workspace_rl.workspace import Workspace


class ReplayBuffer:
    """A ring of frames that stores each frame once and samples windows of successive frames.

    Frames are rows of `[capacity_T, B, ...]`: B environments that advance together. A window `(t, t+1)` is a
    transition; `(t .. t+n)` serves n-step returns and sequences. Windows are drawn uniformly, with replacement, from
    torch's global generator, among all windows whose first pair is a transition (an episode that ends at `t` does not
    go on at `t+1`) and that do not cross the place where the ring is being written.

    Variables whose frames are stacks of the last pictures, `[T, B, n, ...]` with the newest last, need an n-th of the
    memory when they are named in `stacked`: only the newest picture of each frame is stored, and the stacks are rebuilt
    when they are sampled, bit for bit. Where an episode is younger than its stack, the environment fills the stack with
    zeros or with copies of the episode's first picture; the buffer recognises which, at the first episode that starts.

    Frames may come from several *sources*, which advance each at its own speed: a window has frames of one of them
    only, up to where its episodes are cut off. For that, frames that follow those of another source repeat the last
    `longest_window - 1` frames of their own (see `Blocks`), so the ring is made larger when it is told of the sources:
    rows of `n_steps` then take `n_steps + longest_window - 1` rows, and with stacks of n pictures n - 1 more. Of each
    source so many whole frames are kept besides, which begin a window as soon as others follow them.

    Memory is claimed by the operating system only when it is first written (on a CPU).
    """

    @checked(error=ReplayBufferError, least={"capacity": 1, "longest_window": 2, "n_sources": 1, "n_steps": 1})
    def __init__(
        self,
        capacity: int,
        variables: Sequence[str],
        *,
        done_variable: str = "env/done",
        stacked: Mapping[str, int] | None = None,
        first_only: Collection[str] = (),
        device: torch.device | str = "cpu",
        longest_window: int = 2,
        n_sources: int = 1,
        n_steps: int = 1,
        keeps_versions: bool = False,
        priorities: Priorities | None = None,
        hindsight: Hindsight | None = None,
    ) -> None:
        """Create an empty buffer.

        Args:
            capacity: the number of transitions to hold, summed over environments; rounded up to the same for each.
            variables: the names of the variables to store. The ring itself keeps the bit that tells where episodes
                end, so `done_variable` need not be among them; samples have it all the same.
            done_variable: the variable (`[B]`, bool) that ends an episode.
            stacked: the variables of which single pictures are stored, and how many make up a stack, for instance
                `{"env/env_obs": 4}`.
            first_only: the variables of which samples hold their first frame alone, `[1, batch_size, ...]`, such as the
                state that a memory begins with.
            device: where the frames are stored.
            longest_window: the longest window that will be drawn, if there are several sources.
            n_sources: how many sources there will be; if there are more, it will hold fewer transitions.
            n_steps: frames of each environment that are put at a time, at least, if there are several sources.
            keeps_versions: whether the `version` of frames is kept, for `drawn_versions`, by 4 bytes a frame.
            priorities: draws windows by what was `learned` from them, by 8 bytes a frame, with `weight` in samples.
            hindsight: relabels the goals of samples, by 16 bytes a frame.

        Raises:
            ReplayBufferError: the capacity or the size of a stack is impossible, a stacked variable is not stored, or
                hindsight cannot be had of what is.
        """
        self.capacity, self.done_variable = capacity, done_variable
        self.variables = [name for name in dict.fromkeys(variables) if name != done_variable]
        self.first_only, self.device = frozenset(first_only), torch_device(device)
        sizes = stacked or {}
        # The rows before a frame that its stack reaches back to.
        history = max(sizes.values(), default=1) - 1
        notes = ({AGES: torch.uint8} if sizes else {}) | ({VERSIONS: torch.int32} if keeps_versions else {})
        more_rows = rows_for_blocks(longest_window, history, n_sources=n_sources, n_steps=n_steps)
        self._ring = Ring(capacity, history, self.device, with_zeros=sizes, notes=notes, more_rows=more_rows)
        self._stacks = FrameStacks(sizes, self.variables, done_variable, self._ring)
        self._ends = EpisodeEnds(self.device)
        #: What draws windows by their priorities, where that is done.
        self.prioritized = None if priorities is None else PrioritizedWindows(self._ring, self._ends, priorities)
        self._windows = self.prioritized or Windows(self._ring, self._ends)
        self._blocks = Blocks(self._ring, self._ends, longest_window)
        check_hindsight(hindsight, self.variables, sizes)
        self._hindsight, self._episodes = hindsight, None if hindsight is None else Episodes(longest_window - 1)
        self._continues = False  # whether the next frame follows the last one
        self.longest_window, self.n_sources, self.keeps_versions = longest_window, n_sources, keeps_versions
        #: The versions of the first frames of the windows that were drawn last, `[N]` int32, where they are kept.
        self.drawn_versions = torch.empty(0, dtype=torch.int32)

    # ---- writing --------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def put(self, frames: Workspace, *, continues: bool = True, source: int = 0, version: int = 0) -> None:
        """Append the frames of a workspace `[T, B, ...]`; if there are more than fit, the last ones.

        Args:
            frames: holds all stored variables and the done variable, all with the same T.
            continues: whether the first frame follows the last one that was put of the same source. If not, the
                episodes that were running there count as cut off.
            source: whose frames they are.
            version: the number of the update that made the weights which acted.

        Raises:
            ReplayBufferError: a variable is missing, or looks different from before, or that is no workspace.
        """
        values = checked_frames(frames, self._ring, self.variables, self.done_variable, self._stacks.sizes)
        if source != self._blocks.source:
            if not continues:
                self.end_episodes(source)
            self._turn_to(source)
        versions = torch.full(values[self.done_variable].shape, version) if self.keeps_versions else None
        self._append(frames, values, versions, continues)

    def end_episodes(self, source: int | None = None) -> None:
        """Cut off the episodes that are running: the next frame that is put does not follow the last one.

        Args:
            source: whose episodes; None for those of all sources.
        """
        tails, current = self._blocks.tails, self._blocks.source
        if source is None or source == current:
            self._cut()
        for one in sorted(tails) if source is None else {source} & tails.keys():
            if tails[one].is_over:
                del tails[one]
            else:
                self._turn_to(one)
                self._cut()
        if self._episodes is not None:
            self._episodes.cut(source)

    def _cut(self) -> None:
        """Cut off the episodes of the source that was put last."""
        if not self._continues:
            return
        self._continues = False
        self._ring.newest(self.done_variable).fill_(True)
        ring = self._ring
        first = (ring.steps - 1) * ring.batch_size
        self._ends.forget_from(first)
        self._ends.append(np.arange(first, first + ring.batch_size))

    def _turn_to(self, source: int) -> None:
        """Close the block of the source that was put last, and begin one of `source` with the frames it repeats."""
        blocks = self._blocks
        if blocks.source is not None:
            self._windows.longest = self._windows.longest or self.longest_window
            rows = blocks.last_rows()
            if self._continues and rows:
                blocks.tails[blocks.source] = blocks.tail(rows, self._stacks, self.done_variable)
                blocks.close(rows)
                if len(rows) < self.longest_window - 1:
                    # Of so short a block there are no windows, but some that come from before a cut go through it.
                    self._ring.newest(self.done_variable).fill_(True)
        blocks.source, self._continues = source, False
        tail = blocks.tails.pop(source, None)
        if tail is not None:
            values = {name: tail.frames.get_full(name) for name in tail.frames}
            self._append(tail.frames, values, tail.versions, repeats=True)

    def _append(
        self,
        frames: Workspace,
        values: dict[str, Tensor],
        versions: Tensor | None,
        continues: bool = True,
        repeats: bool = False,
    ) -> None:
        ring, stacked = self._ring, self._stacks.sizes
        n_steps, batch_size = values[self.done_variable].shape
        goes_on = continues and self._continues
        if stacked:
            values = {name: value[:, :, -1] if name in stacked else value for name, value in values.items()}
        if not ring.storage:
            ring.allocate(values, batch_size)
        ages = self._stacks.new_ages(frames, goes_on) if stacked else None
        if not goes_on:
            if not continues:
                self._cut()
            if stacked:
                self._ends.append(self._stacks.put_history(frames))
            self._blocks.begun = ring.steps
        self._continues = True
        # More frames than rows: the older ones would be overwritten at once.
        start = max(0, n_steps - ring.capacity_steps)
        for name, value in values.items():
            ring.write(ring.rows_of(name), start, value)
        if ages is not None:
            ring.write(ring.rows_of_note(AGES), start, ages)
        if versions is not None:
            ring.write(ring.rows_of_note(VERSIONS), start, versions)
        done = values[self.done_variable].numpy(force=True)
        self._ends.append(done.ravel().nonzero()[0] + ring.steps * batch_size)
        if self._episodes is not None:
            source, follows = self._blocks.source or 0, None if repeats else goes_on
            self._episodes.put(ring.steps, done, source, follows=follows, capacity_steps=ring.capacity_steps)
        ring.steps += n_steps
        self._ends.forget_before(ring.oldest * batch_size)

    # ---- saving ---------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> range:
        """The rows that are stored, counted from the first one ever put."""
        return self._ring.rows

    def read_rows(self, start: int, stop: int) -> dict[str, Tensor]:
        """Return some of the stored `rows` as they are, `[T, B, ...]` on the CPU, single pictures where stacked."""
        told = {} if self._episodes is None else self._episodes.read(start, stop)
        return read_rows(self._ring, self._ends, self.done_variable, start, stop) | told

    def describe(self) -> dict[str, Any]:
        """Return what `restore` needs besides the rows: plain data, and priorities, a tensor on the CPU.

        The frames of other sources than that of the last put do not go on from there, and those before them begin no
        window, unless `end_episodes` has been called. Rows that were read do not change any more once it has.
        """
        kept: dict[str, Any] = {"rows": self._ring.steps, "start": self._ring.rows.start, "continues": self._continues}
        if self._continues:
            kept |= {"source": self._blocks.source, "begun": self._blocks.begun}
        if self._windows.longest is not None:
            kept["longest_window"] = self._windows.longest
        return {**kept, "zeros": dict(self._stacks.zeros), **self._windows.describe()}

    def restore(self, description: Mapping[str, Any], pieces: Iterable[tuple[int, Mapping[str, Tensor]]]) -> None:
        """Take over what another buffer of the same kind held; samples are then the same as that one's.

        Args:
            description: what the other one's `describe` returned.
            pieces: its `rows` in order, in pieces `(start, read_rows(start, stop))`; older rows count for nothing.

        Raises:
            ReplayBufferError: the pieces do not fit this buffer, or do not cover its rows.
        """
        self._ring.steps, self._ring.first = int(description["rows"]), int(description.get("start", 0))
        if self._episodes is not None:
            pieces = self._episodes.restored_from(pieces)
        restore_rows(self._ring, self._ends, self.variables, self.done_variable, pieces)
        if self._episodes is not None:
            self._episodes.restore(self._ring.rows, self._ring.capacity_steps)
        longest = description.get("longest_window")
        self._windows.longest = None if longest is None else min(longest, self.longest_window)
        self._continues = bool(description["continues"])
        self._blocks.source = description.get("source", 0) if self._ring.steps else None
        self._blocks.begun = description.get("begun", 0)
        self._stacks.zeros = {name: description["zeros"][name] for name in self._stacks.sizes}
        self._ends.forget_before(self._ring.oldest * self._ring.batch_size)
        self._windows.restore(description)

    # ---- reading --------------------------------------------------------------------------------------------------

    def n_windows(self, window: int = 2) -> int:
        """Return the number of windows of `window` frames that can be drawn (of transitions for `window=2`).

        Raises:
            ReplayBufferError: there are several sources, and windows are longer than the buffer was told.
        """
        return self._windows.count(window)

    def __len__(self) -> int:
        """Return the number of transitions that are stored."""
        return self.n_windows()

    def sample(self, batch_size: int, window: int = 2) -> Workspace:
        """Draw `batch_size` windows, a contiguous workspace `[window, batch_size, ...]`; see `first_only`.

        By priorities, each has its importance `weight` besides, at all of its frames.

        Where an episode ends inside a longer window, the frames after its end belong to the next one: the done
        variable says so (see `n_step_transitions`).

        Raises:
            ReplayBufferError: no such window is stored yet, or there can be none; a size is no whole number.
        """
        batch_size, window = checked_sizes(batch_size, window)
        index = self._windows.draw(batch_size, window)
        if self.keeps_versions:
            self.drawn_versions = self._ring.notes[VERSIONS].index_select(0, index[:batch_size])
        frames = frames_at(self._ring, self._stacks, index, (window, batch_size), self.first_only)
        if self.prioritized is not None:
            frames.set_full("weight", self.prioritized.weights)
        if self._hindsight is not None and self._episodes is not None:
            self._hindsight.relabel(frames, index[:batch_size], self._ring.storage, self._episodes)
        return frames

    def layout(self, batch_size: int, window: int = 2) -> dict[str, Tensor]:
        """Return tensors without values (on the "meta" device) that look like those of a sample; nothing is drawn.

        Raises:
            ReplayBufferError: nothing has been put yet.
        """
        return layouts(self._ring, self._stacks, batch_size, window, self.first_only)
