"""One variable of a workspace: the tensors of its steps."""

from __future__ import annotations

import torch
from torch import Tensor

from workspace_rl.errors import UnwrittenStepError, VariableMismatchError


class Variable:
    """One variable: the tensors of its steps, and their stack once somebody has asked for it.

    No tensor is ever changed in place. A write replaces a reference, so whatever was read before stays what it was,
    and tensors that carry a graph stay in it.
    """

    __slots__ = ("_full", "_steps", "device", "dtype", "name", "shape", "writer")

    def __init__(self, name: str, value: Tensor) -> None:
        """Create an empty variable whose steps all look like `value` (`[B, ...]`)."""
        self.name = name
        self.shape, self.dtype, self.device = value.shape, value.dtype, value.device
        self.writer = ""
        # Exactly one of the two may be missing: `_steps` while only a whole variable was set,
        # `_full` from a write until the next full read. None within `_steps` marks a step that nobody wrote.
        self._steps: list[Tensor | None] | None = []
        self._full: Tensor | None = None

    def copy(self) -> Variable:
        """Return a variable that shares the tensors, and in which writing leaves this one as it is."""
        twin = type(self).__new__(type(self))
        twin.name, twin.shape, twin.dtype, twin.device = self.name, self.shape, self.dtype, self.device
        twin.writer, twin._full = self.writer, self._full
        twin._steps = None if self._steps is None else list(self._steps)
        return twin

    def time_size(self) -> int:
        """Return the number of steps, T."""
        if self._steps is not None:
            return len(self._steps)
        return 0 if self._full is None else self._full.shape[0]

    def batch_size(self) -> int:
        """Return the batch size, B (0 for a variable without a batch)."""
        return self.shape[0] if self.shape else 0

    @property
    def size(self) -> torch.Size:
        """The shape of the whole variable, `[T, B, ...]`."""
        return torch.Size((self.time_size(), *self.shape))

    def set(self, t: int, value: Tensor) -> None:
        """Write `value` (`[B, ...]`) at step `t`; steps in between that nobody wrote stay unwritten."""
        if value.shape != self.shape or value.dtype != self.dtype or value.device != self.device:
            self._refuse(f"step {t}", value.shape, value.dtype, value.device)
        if self._steps is None:
            self._steps = [] if self._full is None else list(self._full.unbind(0))
        steps = self._steps
        size = len(steps)
        if t < 0:
            if t + size < 0:
                raise UnwrittenStepError(
                    f"cannot write step {t} of variable {self.name!r}: it has {size} steps. "
                    "Negative steps count from the end.",
                    variable=self.name,
                    step=t,
                )
            t += size
        if t == size:
            steps.append(value)
        elif t < size:
            steps[t] = value
        else:
            steps.extend([None] * (t - size))
            steps.append(value)
        self._full = None

    def get(self, t: int) -> Tensor:
        """Return the very tensor that was set at step `t`."""
        steps = self._steps
        size = self.time_size()
        if not -size <= t < size:
            written = f"steps 0 to {size - 1} were written" if size else "no step of it was written"
            text = f"step {t} of variable {self.name!r} was read, but {written}."
            raise UnwrittenStepError(text, variable=self.name, step=t)
        value = self.get_full()[t] if steps is None else steps[t]
        return self._unwritten(t) if value is None else value

    def peek(self, t: int) -> Tensor | None:
        """Return step `t` if somebody wrote it, and leave the variable as it is: for displays."""
        if self._steps is not None:
            return self._steps[t]
        return None if self._full is None else self._full[t]

    def get_full(self) -> Tensor:
        """Return the whole variable, `[T, B, ...]`; steps that nobody wrote are zeros."""
        full = self._full
        if full is None:
            steps = self._steps or []
            zeros: Tensor | None = None
            filled: list[Tensor] = []
            for step in steps:
                if step is None:
                    if zeros is None:
                        zeros = torch.zeros(self.shape, dtype=self.dtype, device=self.device)
                    step = zeros
                filled.append(step)
            size = (0, *self.shape)
            full = torch.stack(filled) if filled else torch.zeros(size, dtype=self.dtype, device=self.device)
            self._full = full
        return full

    def set_full(self, value: Tensor) -> None:
        """Replace the whole variable by `value` (`[T, B, ...]`), by reference."""
        self.shape, self.dtype, self.device = value.shape[1:], value.dtype, value.device
        self._steps, self._full = None, value

    def window(self, start: int, stop: int) -> Variable:
        """Return the variable restricted to the steps `start` to `stop` (exclusive), sharing the tensors."""
        part = type(self).__new__(type(self))
        part.name, part.shape, part.dtype, part.device = self.name, self.shape, self.dtype, self.device
        part.writer = self.writer
        part._steps = None if self._steps is None else self._steps[start:stop]
        part._full = None if self._full is None else self._full[start:stop]
        return part

    def with_copied_steps(self, from_time: int, to_time: int, n_steps: int) -> Variable:
        """Return a copy in which `n_steps` steps from `to_time` are those from `from_time`; the two may overlap.

        Raises:
            UnwrittenStepError: nobody has written one of the steps, or they run over the end to the beginning.
        """
        variable = self.copy()
        for start in (from_time, to_time):
            if start < 0 < start + n_steps:
                raise UnwrittenStepError(
                    f"{n_steps} steps from step {start} of variable {self.name!r} run over its end to its beginning.",
                    variable=self.name,
                    step=start,
                )
        values = [variable.get(from_time + k) for k in range(n_steps)]
        for k, value in enumerate(values):
            variable.set(to_time + k, value)
        return variable

    def detach(self) -> None:
        """Cut the tensors from the graph they were computed in."""
        if self._steps is not None:
            self._steps = [None if step is None else step.detach() for step in self._steps]
        if self._full is not None:
            self._full = self._full.detach()

    def _unwritten(self, t: int) -> Tensor:
        raise UnwrittenStepError(
            f"step {t} of variable {self.name!r} was read, but nobody wrote it. "
            "Run the agent that writes it at that step first; reading the whole variable pads the gap with zeros.",
            variable=self.name,
            step=t,
        )

    def _refuse(self, where: str, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> None:
        changes = [
            f"{what} {expected} expected, {found} found"
            for what, expected, found in (
                ("shape", list(self.shape), list(shape)),
                ("dtype", self.dtype, dtype),
                ("device", self.device, device),
            )
            if expected != found
        ]
        raise VariableMismatchError(
            f"variable {self.name!r} changes at {where}: {'; '.join(changes)} (it was set so at its first write"
            f"{f' by {self.writer}' if self.writer else ''}). All steps of a variable must look alike: write the other "
            "value under another name, or remove the variable first."
        )
