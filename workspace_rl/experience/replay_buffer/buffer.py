"""The replay buffer: a workspace that forgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workspace_rl.basics.arguments import checked
from workspace_rl.basics.plain_data import told, whole_number
from workspace_rl.errors import ReplayBufferError, did_you_mean
from workspace_rl.experience.replay_buffer.episode_ends import EpisodeEnds
from workspace_rl.experience.replay_buffer.frame_stacks import FrameStacks
from workspace_rl.experience.replay_buffer.ring import Ring
from workspace_rl.experience.replay_buffer.saved_rows import read_rows, restore_rows
from workspace_rl.experience.replay_buffer.windows import Windows
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

    Memory is claimed by the operating system only when it is first written (on a CPU).
    """

    @checked(error=ReplayBufferError, least={"capacity": 1})
    def __init__(
        self,
        capacity: int,
        variables: Sequence[str],
        *,
        done_variable: str = "env/done",
        stacked: Mapping[str, int] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Create an empty buffer.

        Args:
            capacity: the number of transitions to hold, summed over environments; rounded up to the same for each.
            variables: the names of the variables to store. The ring itself keeps the bit that tells where episodes
                end, so `done_variable` need not be among them; samples have it all the same.
            done_variable: the variable (`[B]`, bool) that ends an episode.
            stacked: the variables of which single pictures are stored, and how many make up a stack, for instance
                `{"env/env_obs": 4}`.
            device: where the frames are stored.

        Raises:
            ReplayBufferError: the capacity or the size of a stack is impossible, or a stacked variable is not stored.
        """
        self.capacity = capacity
        self.done_variable = done_variable
        self.variables = [name for name in dict.fromkeys(variables) if name != done_variable]
        self.device = torch_device(device)
        sizes = stacked or {}
        # The rows before a frame that its stack reaches back to.
        history = max(sizes.values(), default=1) - 1
        self._ring = Ring(capacity, history, self.device)
        self._stacks = FrameStacks(sizes, self.variables, done_variable, self._ring)
        self._ends = EpisodeEnds(self.device)
        self._windows = Windows(self._ring, self._ends)
        self._continues = False  # whether the next frame follows the last one

    # ---- writing --------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def put(self, frames: Workspace, *, continues: bool = True) -> None:
        """Append the frames of a workspace `[T, B, ...]`; if there are more than fit, the last ones.

        Args:
            frames: holds all stored variables and the done variable, all with the same T.
            continues: whether the first frame follows the last one that was put. If not, the episodes that were
                running count as cut off there.

        Raises:
            ReplayBufferError: a variable is missing, or looks different from before, or that is no workspace.
        """
        values = self._checked(frames)
        ring, stacked = self._ring, self._stacks.sizes
        n_steps, batch_size = values[self.done_variable].shape
        goes_on = continues and self._continues
        if stacked:
            values = {name: value[:, :, -1] if name in stacked else value for name, value in values.items()}
        if not ring.storage:
            self._allocate(values, batch_size)
        ages = self._stacks.new_ages(frames, goes_on) if stacked else None
        if not continues:
            self.end_episodes()
        if stacked and not goes_on:
            self._put_history(frames)
        self._continues = True
        # More frames than rows: the older ones would be overwritten at once.
        start = max(0, n_steps - ring.capacity_steps)
        for name, value in values.items():
            ring.write(ring.rows_of(name), start, value)
        if ages is not None:
            ring.write(self._stacks.rows_of_ages(), start, ages)
        ends = values[self.done_variable].numpy(force=True).ravel().nonzero()[0]
        self._ends.append(ends + ring.steps * batch_size)
        ring.steps += n_steps
        self._ends.forget_before(ring.oldest * batch_size)

    def end_episodes(self) -> None:
        """Cut off the episodes that are running: the next frame that is put does not follow the last one."""
        if not self._continues:
            return
        self._continues = False
        ring, last_step = self._ring, self._ring.steps - 1
        ring.rows_of(self.done_variable)[last_step % ring.capacity_steps] = True
        first = last_step * ring.batch_size
        self._ends.forget_from(first)
        self._ends.append(np.arange(first, first + ring.batch_size))

    def _put_history(self, frames: Workspace) -> None:
        ring = self._ring
        first = ring.steps * ring.batch_size
        self._stacks.put_history(frames)
        self._ends.append(np.arange(first, ring.steps * ring.batch_size))

    def _allocate(self, examples: Mapping[str, Tensor], batch_size: int) -> None:
        self._ring.allocate(examples, batch_size, self._stacks.sizes)
        if self._stacks.sizes:
            self._stacks.allocate()

    def _checked(self, frames: Workspace) -> dict[str, Tensor]:
        """Return the variables to store of frames that fit the buffer, or raise before anything is changed."""
        values: dict[str, Tensor] = {}
        if not hasattr(frames, "get_full"):
            raise ReplayBufferError(f"frames: a workspace expected, {told(frames)} found.")
        for name in (*self.variables, self.done_variable):
            if name not in frames:
                raise ReplayBufferError(
                    f"the frames lack variable {name!r}, which the buffer stores.{did_you_mean(name, frames)}"
                )
            values[name] = frames.get_full(name)
        done = values[self.done_variable]
        if done.ndim != 2 or done.dtype != torch.bool:
            raise ReplayBufferError(
                f"variable {self.done_variable!r} must be [T, B] of torch.bool, {list(done.shape)} of {done.dtype} "
                "found."
            )
        n_steps, batch_size = done.shape
        if not n_steps or not batch_size:
            raise ReplayBufferError(f"there are no frames to put: {[n_steps, batch_size]} steps and environments.")
        stacked = self._stacks.sizes
        for name, value in values.items():
            stored = self._ring.storage.get(name)
            stack = (stacked[name],) if name in stacked else ()
            expected = (n_steps, self._ring.batch_size or batch_size, *stack)
            rest = value.shape[len(expected) :] if stored is None else stored.shape[1:]
            dtype = value.dtype if stored is None else stored.dtype
            if value.shape != (*expected, *rest) or value.dtype != dtype:
                raise ReplayBufferError(
                    f"variable {name!r} does not fit the buffer: {[*expected, *rest]} of {dtype} expected, "
                    f"{list(value.shape)} of {value.dtype} found."
                )
        return values

    # ---- saving ---------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> range:
        """The rows that are stored, counted from the first one ever put."""
        return self._ring.rows

    def read_rows(self, start: int, stop: int) -> dict[str, Tensor]:
        """Return some of the stored `rows` as they are, `[T, B, ...]` on the CPU, single pictures where stacked."""
        return read_rows(self._ring, self._stacks, start, stop)

    def describe(self) -> dict[str, Any]:
        """Return what `restore` needs besides the rows, as plain data."""
        return {"rows": self._ring.steps, "continues": self._continues, "zeros": dict(self._stacks.zeros)}

    def restore(self, description: Mapping[str, Any], pieces: Iterable[tuple[int, Mapping[str, Tensor]]]) -> None:
        """Take over what another buffer of the same kind held; samples are then the same as that one's.

        Args:
            description: what the other one's `describe` returned.
            pieces: its `rows` in order, in pieces `(start, read_rows(start, stop))`; older rows count for nothing.

        Raises:
            ReplayBufferError: the pieces do not fit this buffer, or do not cover its rows.
        """
        self._ring.steps = int(description["rows"])
        restore_rows(self._ring, self._stacks, self._ends, self.variables, self.done_variable, pieces)
        self._continues = bool(description["continues"])
        self._stacks.zeros = {name: description["zeros"][name] for name in self._stacks.sizes}
        self._ends.forget_before(self._ring.oldest * self._ring.batch_size)

    # ---- reading --------------------------------------------------------------------------------------------------

    def n_windows(self, window: int = 2) -> int:
        """Return the number of windows of `window` frames that can be drawn (of transitions for `window=2`)."""
        return self._windows.count(window)

    def __len__(self) -> int:
        """Return the number of transitions that are stored."""
        return self.n_windows()

    def sample(self, batch_size: int, window: int = 2) -> Workspace:
        """Draw `batch_size` windows, a contiguous workspace `[window, batch_size, ...]`.

        Where an episode ends inside a longer window, the frames after its end belong to the next one: the done
        variable says so (see `n_step_transitions`).

        Raises:
            ReplayBufferError: no such window is stored yet, or there can be none; a size is no whole number.
        """
        if type(batch_size) is not int or type(window) is not int:
            batch_size = whole_number(batch_size, "batch_size", least=0, error=ReplayBufferError)
            window = whole_number(window, "window", least=1, error=ReplayBufferError)
        if batch_size < 0 or window < 1:
            raise ReplayBufferError(f"{batch_size} windows of {window} frames cannot be sampled.")
        index = self._windows.draw(batch_size, window)
        stacked = self._stacks.sizes
        batch = Workspace()
        for name, stored in self._ring.storage.items():
            if name in stacked:
                pictures = self._stacks.pictures(index, name)
                value = stored.index_select(0, pictures.flatten()).unflatten(0, (window, batch_size, -1))
            else:
                value = stored.index_select(0, index).view(window, batch_size, *stored.shape[1:])
            batch.set_full(name, value)
        return batch

    def layout(self, batch_size: int, window: int = 2) -> dict[str, Tensor]:
        """Return tensors without values (on the "meta" device) that look like those of a sample; nothing is drawn.

        Raises:
            ReplayBufferError: nothing has been put yet.
        """
        storage, stacked = self._ring.storage, self._stacks.sizes
        if not storage:
            raise ReplayBufferError(
                "the replay buffer is empty: put frames first, so that it knows what they look like."
            )
        shapes = {
            name: (*((stacked[name],) if name in stacked else ()), *stored.shape[1:])
            for name, stored in storage.items()
        }
        return {
            name: torch.empty((window, batch_size, *shape), dtype=storage[name].dtype, device="meta")
            for name, shape in shapes.items()
        }
