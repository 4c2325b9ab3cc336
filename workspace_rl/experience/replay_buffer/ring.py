"""A ring of rows: the memory of a replay buffer, where new rows are written over the oldest."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from workspace_rl.errors import ReplayBufferError

#: Dtypes that torch does not write by index, and those of as many bits that it does.
_SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}


class Ring:
    """Rows of B frames, `[capacity_T, B, ...]` for each variable, counted from the first row ever put."""

    def __init__(
        self,
        capacity: int,
        history: int,
        device: torch.device,
        *,
        with_zeros: Collection[str],
        notes: Mapping[str, torch.dtype],
        more_rows: Callable[[int], int],
    ) -> None:
        """Create a ring without memory for `capacity` transitions, summed over environments.

        Args:
            capacity: how many transitions.
            history: the number of rows before a frame that its stacks reach back to; so many more rows are kept.
            device: where the memory is.
            with_zeros: the variables after whose frames comes one of zeros.
            notes: what is kept of each frame besides variables, by name the dtype of a number.
            more_rows: how many rows are needed besides those of so many steps.
        """
        self.capacity, self.history, self.device = capacity, history, device
        self._with_zeros, self._more_rows = with_zeros, more_rows
        self.note_dtypes = notes
        #: By name `[capacity_T * B, ...]`, followed by a frame of zeros for those in `with_zeros`.
        self.storage: dict[str, Tensor] = {}
        #: What is kept of each frame besides variables, `[capacity_T * B]`.
        self.notes: dict[str, Tensor] = {}
        self.batch_size = 0
        self.capacity_steps = 0
        #: Rows ever put.
        self.steps = 0
        #: The first row that there is; later ones than 0 after a ring of fewer rows was taken over.
        self.first = 0

    @property
    def rows(self) -> range:
        """The rows that are stored."""
        return range(max(self.first, self.steps - self.capacity_steps), self.steps)

    @property
    def oldest(self) -> int:
        """The oldest row whose stacks are stored."""
        return max(self.first, self.steps - self.capacity_steps) + self.history

    def allocate(self, examples: Mapping[str, Tensor], batch_size: int) -> None:
        """Make room for variables whose rows look like `examples`, `[T, B, ...]`.

        Raises:
            ReplayBufferError: there is not enough memory.
        """
        self.batch_size = batch_size
        # One row more than transitions, since a transition spans two.
        n_steps = -(-self.capacity // batch_size)
        self.capacity_steps = n_steps + 1 + self.history + self._more_rows(n_steps)
        n_frames = self.capacity_steps * batch_size
        for name, value in examples.items():
            shape = (n_frames + (name in self._with_zeros), *value.shape[2:])
            try:
                self.storage[name] = torch.empty(shape, dtype=value.dtype, device=self.device)
                if name in self._with_zeros:
                    self.storage[name][n_frames] = 0
            except (RuntimeError, MemoryError, TypeError) as error:  # TypeError: more than 64 bits can count
                size = math.prod(shape) * value.dtype.itemsize // 10**9
                self.storage.clear()
                self.batch_size = 0
                raise ReplayBufferError(
                    f"no memory for variable {name!r} of the replay buffer: {size} GB for {self.capacity} "
                    "transitions. Lower buffer_size."
                ) from error
        for name, dtype in self.note_dtypes.items():
            self.notes[name] = torch.empty(n_frames, dtype=dtype, device=self.device)

    def rows_of(self, name: str) -> Tensor:
        """Return the storage of a variable as `[capacity_T, B, ...]`."""
        stored = self.storage[name]
        if name in self._with_zeros:
            stored = stored[:-1]
        return stored.view(self.capacity_steps, self.batch_size, *stored.shape[1:])

    def newest(self, name: str) -> Tensor:
        """Return the storage of a variable's newest row, `[B, ...]`."""
        return self.rows_of(name)[(self.steps - 1) % self.capacity_steps]

    def rows_of_note(self, name: str) -> Tensor:
        """Return what is kept of each frame under `name` as `[capacity_T, B]`."""
        return self.notes[name].view(self.capacity_steps, self.batch_size)

    def places(self, start: int, stop: int) -> Tensor:
        """Return where the rows `start` to `stop` (exclusive) lie."""
        return torch.arange(start, stop, device=self.device) % max(1, self.capacity_steps)

    def write(self, rows: Tensor, start: int, value: Tensor) -> None:
        """Write `value[start:]` (`[T, B, ...]`) to the rows (`[capacity_T, B, ...]`) that are next, round the end."""
        n, row = value.shape[0], (self.steps + start) % self.capacity_steps
        split = min(n, start + self.capacity_steps - row)
        rows[row : row + split - start].copy_(value[start:split] if start or split < n else value)
        if split < n:
            rows[: n - split].copy_(value[split:])


def bits(tensor: Tensor) -> Tensor:
    """Return a view of a tensor that can be written by index."""
    return tensor.view(_SIGNED.get(tensor.dtype, tensor.dtype))
