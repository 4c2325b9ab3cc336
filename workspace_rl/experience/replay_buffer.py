"""The replay buffer: a workspace that forgets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workspace_rl.basics.arguments import checked
from workspace_rl.basics.plain_data import told, whole_number
from workspace_rl.errors import ReplayBufferError, did_you_mean
from workspace_rl.machine.devices import torch_device
from workspace_rl.workspace import Workspace

#: What the rows of a buffer with stacks are saved with besides the variables.
_AGES = "ages"

#: Dtypes that torch does not write by index, and those of as many bits that it does.
_SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}


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
        self._stacks = {name: _Stacks(name, size) for name, size in (stacked or {}).items()}
        for name in self._stacks:
            if name not in self.variables:
                raise ReplayBufferError(
                    f"stacked variable {name!r} is not among those that are stored.{did_you_mean(name, self.variables)}"
                )
        #: Rows before a frame that its stack reaches back to.
        self._history = max((stacks.size for stacks in self._stacks.values()), default=1) - 1
        self._storage: dict[str, Tensor] = {}  # name -> [capacity_T * B, ...]
        # How many frames of the same episode lie before a frame, at most `history`.
        self._ages = torch.empty(0, dtype=torch.uint8, device=self.device)  # [capacity_T * B]
        self._batch_size = 0
        self._capacity_steps = 0
        self._steps = 0  # rows ever put
        self._continues = False  # whether the next frame follows the last one
        self._ends = _EpisodeEnds(self.device)
        self._offsets: dict[int, Tensor] = {}  # window -> where its frames lie, [window, 1]

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
        n_steps, batch_size = values[self.done_variable].shape
        if not self._storage:
            self._allocate(values, batch_size)
        goes_on = continues and self._continues
        ages = self._new_ages(frames, goes_on) if self._stacks else None
        if not continues:
            self.end_episodes()
        if self._stacks and not goes_on:
            self._put_history(frames)
        self._continues = True
        # More frames than rows: the older ones would be overwritten at once.
        start = max(0, n_steps - self._capacity_steps)
        for name, value in values.items():
            self._write(self._ring(name), start, value[:, :, -1] if name in self._stacks else value)
        if ages is not None:
            self._write(self._ages.view(self._capacity_steps, batch_size), start, ages)
        ends = values[self.done_variable].numpy(force=True).ravel().nonzero()[0]
        self._ends.append(ends + self._steps * batch_size)
        self._steps += n_steps
        self._ends.forget_before(self._oldest * batch_size)

    def _write(self, ring: Tensor, start: int, value: Tensor) -> None:
        """Write the frames `value[start:]` to the rows that are next, round the end of the ring."""
        row = (self._steps + start) % self._capacity_steps
        split = min(len(value), start + self._capacity_steps - row)
        ring[row : row + split - start].copy_(value[start:split] if start or split < len(value) else value)
        if split < len(value):
            ring[: len(value) - split].copy_(value[split:])

    def _ring(self, name: str) -> Tensor:
        """Return the storage of a variable as `[capacity_T, B, ...]`."""
        stored = self._storage[name]
        if name in self._stacks:
            stored = stored[:-1]  # the picture of zeros
        return stored.view(self._capacity_steps, self._batch_size, *stored.shape[1:])

    def end_episodes(self) -> None:
        """Cut off the episodes that are running: the next frame that is put does not follow the last one."""
        if not self._continues:
            return
        self._continues = False
        last_step = self._steps - 1
        self._ring(self.done_variable)[last_step % self._capacity_steps] = True
        first = last_step * self._batch_size
        self._ends.forget_from(first)
        self._ends.append(np.arange(first, first + self._batch_size))

    def _new_ages(self, frames: Workspace, goes_on: bool) -> Tensor:
        """Return the ages `[T, B]` of frames that are to be put, and look at the stacks where episodes start."""
        done = frames.get_full(self.done_variable).to(self.device)
        if goes_on:
            last = (self._steps - 1) % self._capacity_steps
            begins = torch.cat((self._ring(self.done_variable)[last : last + 1], done[:-1]))
            age_before = self._ages.view(self._capacity_steps, -1)[last].long()
        else:
            # The frames before the first one will be those that its stack holds.
            begins = torch.cat((torch.zeros_like(done[:1]), done[:-1]))
            age_before = torch.full_like(done[0], self._history - 1, dtype=torch.int64)
        if begins.any():
            for name, stacks in self._stacks.items():
                value = frames.get_full(name)
                stacks.look_at_starts(name, value[begins.to(value.device)])
        steps = torch.arange(1, len(done) + 1, device=self.device).unsqueeze(1)
        latest_begin = torch.where(begins, steps, -age_before).cummax(0).values
        return (steps - latest_begin).clamp_(max=self._history).to(torch.uint8)

    def _put_history(self, frames: Workspace) -> None:
        """Store the older pictures of the first frame's stacks as frames of their own, at which no window begins.

        So the first stacks can be rebuilt whether an episode starts there or not.
        """
        rows = torch.arange(self._steps, self._steps + self._history, device=self.device) % self._capacity_steps
        for name in self.variables:
            first = frames.get_full(name)[:1].to(self.device)
            if name in self._stacks:
                pictures = torch.arange(self._history) - (self._history + 1 - self._stacks[name].size)
                first = first[0][:, pictures.clamp_(min=0)].transpose(0, 1)
            _bits(self._ring(name))[rows] = _bits(first)
        self._ring(self.done_variable)[rows] = True
        self._ages.view(self._capacity_steps, -1)[rows] = 0
        self._ends.append(np.arange(self._steps * self._batch_size, (self._steps + self._history) * self._batch_size))
        self._steps += self._history

    def _allocate(self, examples: Mapping[str, Tensor], batch_size: int, stack_dims: int = 1) -> None:
        """Make room for variables that look like `examples`, `[T, B, ...]`, or `[T, B, n, ...]` where stacked."""
        self._batch_size = batch_size
        # One row more than transitions, since a transition spans two.
        self._capacity_steps = -(-self.capacity // batch_size) + 1 + self._history
        n_frames = self._capacity_steps * batch_size
        for name in (*self.variables, self.done_variable):
            value = examples[name]
            # After the pictures that are stacked comes one of zeros.
            stacked = name in self._stacks
            shape = (n_frames + stacked, *value.shape[2 + (stack_dims if stacked else 0) :])
            try:
                self._storage[name] = torch.empty(shape, dtype=value.dtype, device=self.device)
                if name in self._stacks:
                    self._storage[name][n_frames] = 0
            except (RuntimeError, MemoryError, TypeError) as error:  # TypeError: more than 64 bits can count
                size = math.prod(shape) * value.dtype.itemsize // 10**9
                self._storage.clear()
                self._batch_size = 0
                raise ReplayBufferError(
                    f"no memory for variable {name!r} of the replay buffer: {size} GB for {self.capacity} "
                    "transitions. Lower buffer_size."
                ) from error
        if self._stacks:
            self._ages = torch.empty(n_frames, dtype=torch.uint8, device=self.device)

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
        for name, value in values.items():
            stored = self._storage.get(name)
            stack = (self._stacks[name].size,) if name in self._stacks else ()
            expected = (n_steps, self._batch_size or batch_size, *stack)
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
        return range(max(0, self._steps - self._capacity_steps), self._steps)

    def read_rows(self, start: int, stop: int) -> dict[str, Tensor]:
        """Return some of the stored `rows` as they are, `[T, B, ...]` on the CPU, single pictures where stacked."""
        index = torch.arange(start, stop, device=self.device) % max(1, self._capacity_steps)
        rows = {name: self._ring(name).index_select(0, index).cpu() for name in self._storage}
        if self._stacks and rows:
            rows[_AGES] = self._ages.view(self._capacity_steps, -1).index_select(0, index).cpu()
        return rows

    def describe(self) -> dict[str, Any]:
        """Return what `restore` needs besides the rows, as plain data."""
        zeros = {name: stacks.zeros for name, stacks in self._stacks.items()}
        return {"rows": self._steps, "continues": self._continues, "zeros": zeros}

    def restore(self, description: Mapping[str, Any], pieces: Iterable[tuple[int, Mapping[str, Tensor]]]) -> None:
        """Take over what another buffer of the same kind held; samples are then the same as that one's.

        Args:
            description: what the other one's `describe` returned.
            pieces: its `rows` in order, in pieces `(start, read_rows(start, stop))`; older rows count for nothing.

        Raises:
            ReplayBufferError: the pieces do not fit this buffer, or do not cover its rows.
        """
        names = {*self.variables, self.done_variable, *([_AGES] if self._stacks else [])}
        self._steps, reached = int(description["rows"]), 0
        for start, piece in pieces:
            sizes = {tuple(value.shape[:2]) for value in piece.values()}
            if set(piece) != names or len(sizes) != 1:
                raise ReplayBufferError(f"saved rows hold {sorted(piece)} of sizes {sorted(sizes)}, not {names}.")
            ((n_steps, batch_size),) = sizes
            if not self._storage:
                self._allocate(piece, batch_size, stack_dims=0)
            if batch_size != self._batch_size or start > max(reached, self.rows.start):
                raise ReplayBufferError(f"saved rows do not follow each other: {reached} expected, {start} found.")
            first, reached = max(start, self.rows.start), start + n_steps
            if first >= reached:
                continue
            index = torch.arange(first, reached, device=self.device) % self._capacity_steps
            for name, value in piece.items():
                ring = self._ages.view(self._capacity_steps, -1) if name == _AGES else self._ring(name)
                if ring.shape[1:] != value.shape[1:] or ring.dtype != value.dtype:
                    raise ReplayBufferError(
                        f"the saved rows of {name!r} do not fit: {list(ring.shape[1:])} of {ring.dtype} expected, "
                        f"{list(value.shape[1:])} of {value.dtype} found."
                    )
                _bits(ring).index_copy_(0, index, _bits(value[first - start :].to(self.device)))
            ends = piece[self.done_variable][first - start :].flatten().nonzero().squeeze(-1).numpy()
            self._ends.append(ends + first * batch_size)
        if reached != self._steps:
            raise ReplayBufferError(f"saved rows end at {reached}, but {self._steps} were put.")
        self._continues = bool(description["continues"])
        for name, stacks in self._stacks.items():
            stacks.zeros = description["zeros"][name]
        self._ends.forget_before(self._oldest * self._batch_size)

    # ---- reading --------------------------------------------------------------------------------------------------

    @property
    def _oldest(self) -> int:
        """The oldest step whose stacks are stored, counted from the first step ever put."""
        return max(0, self._steps - self._capacity_steps) + self._history

    def n_windows(self, window: int = 2) -> int:
        """Return the number of windows of `window` frames that can be drawn (of transitions for `window=2`)."""
        return max(0, self._ranks(window)[1])

    def _ranks(self, window: int) -> tuple[int, int]:
        """Return the rank of the oldest window among all first frames ever put that end no episode, and the count."""
        first = self._oldest * self._batch_size
        stop = (self._steps - window + 1) * self._batch_size
        if stop <= first:
            return 0, 0
        ends_before = self._ends.n_before(first)
        return first - ends_before, (stop - self._ends.n_before(stop)) - (first - ends_before)

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
        rank, count = self._ranks(window)
        held = self._capacity_steps - self._history
        if count <= 0 and 0 < held < window:
            raise ReplayBufferError(
                f"no window of {window} frames can ever be sampled: a capacity of {self.capacity:,} holds {held} "
                f"frames of each environment (there are {self._batch_size}). Give the buffer a larger capacity "
                "(buffer_size)."
            )
        if count <= 0:
            raise ReplayBufferError(
                f"no window of {window} frames can be sampled: {max(0, self._steps - self._history)} steps of "
                f"{self._batch_size} environments were put so far. Collect more first (learning_starts)."
            )
        chosen = torch.randint(count, (batch_size,), device=self.device).add_(rank)
        if window not in self._offsets:
            self._offsets[window] = torch.arange(window, device=self.device).mul_(self._batch_size).unsqueeze(1)
        index = self._ends.position(chosen) + self._offsets[window]
        index = index.remainder_(self._capacity_steps * self._batch_size).view(-1)
        batch = Workspace()
        for name, stored in self._storage.items():
            if name in self._stacks:
                pictures = self._pictures(index, self._stacks[name])
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
        if not self._storage:
            raise ReplayBufferError(
                "the replay buffer is empty: put frames first, so that it knows what they look like."
            )
        shapes = {
            name: (*((self._stacks[name].size,) if name in self._stacks else ()), *stored.shape[1:])
            for name, stored in self._storage.items()
        }
        return {
            name: torch.empty((window, batch_size, *shape), dtype=self._storage[name].dtype, device="meta")
            for name, shape in shapes.items()
        }

    def _pictures(self, index: Tensor, stacks: _Stacks) -> Tensor:
        """Return where the pictures `[n, size]` lie that make up the stacks of the frames at `index` (`[n]`)."""
        n_frames = self._capacity_steps * self._batch_size
        age = self._ages.index_select(0, index).long().unsqueeze(1)
        back = torch.arange(stacks.size - 1, -1, -1, device=self.device)
        pictures = (index.unsqueeze(1) - torch.minimum(back, age) * self._batch_size).remainder_(n_frames)
        return pictures.masked_fill_(back > age, n_frames) if stacks.zeros else pictures


class _Stacks:
    """A variable of which single pictures are stored."""

    def __init__(self, name: str, size: int) -> None:
        if not 1 <= size <= 256:  # ages are stored in a byte
            raise ReplayBufferError(f"the stacks of {name!r} may hold 1 to 256 pictures, not {size}.")
        self.size = size
        #: Whether stacks that are older than their episode are filled with zeros, or with copies of its first picture.
        self.zeros: bool | None = None

    def look_at_starts(self, name: str, stacks: Tensor) -> None:
        """Find out from the stacks `[n, size, ...]` with which episodes start how they are filled.

        Raises:
            ReplayBufferError: neither with zeros nor with copies, or not as before.
        """
        older, newest = stacks[:, :-1], stacks[:, -1:]
        zeros, copies = bool((older == 0).all()), bool((older == newest).all())
        if zeros and copies:  # black pictures
            return
        if zeros == copies or self.zeros not in (None, zeros):
            raise ReplayBufferError(
                f"the stacks of {name!r} cannot be rebuilt from single pictures: with the newest last, they must be "
                "filled where an episode starts, in all episodes alike, by zeros or by copies of the first picture. "
                "Do not name the variable in 'stacked'."
            )
        self.zeros = zeros


class _EpisodeEnds:
    """The positions (step * B + environment, counted from the first frame ever) of the frames that end an episode.

    All other frames begin a transition. The r-th of those lies at r plus the number of ends before it, which a binary
    search over `position - ordinal` of the ends finds: drawing uniformly needs neither a table of valid frames nor
    repeated draws.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._positions = np.empty(16, dtype=np.int64)
        self._shifted = torch.empty(16, dtype=torch.int64, device=device)
        self._head = 0  # index of the oldest end that is kept
        self._tail = 0  # one past the newest
        self._forgotten = 0  # how many ends came before index 0

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

    def forget_before(self, position: int) -> None:
        """Drop the ends before `position`."""
        self._head += int(self._positions[self._head : self._tail].searchsorted(position))

    def n_before(self, position: int) -> int:
        """Return how many ends, of all that ever were, lie before `position` (which is stored, or newer)."""
        kept = self._positions[self._head : self._tail]
        return self._forgotten + self._head + int(kept.searchsorted(position))

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


def _bits(tensor: Tensor) -> Tensor:
    """Return a view of a tensor that can be written by index."""
    return tensor.view(_SIGNED.get(tensor.dtype, tensor.dtype))
