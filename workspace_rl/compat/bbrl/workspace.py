"""`bbrl.workspace`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from workspace_rl import workspace as library
from workspace_rl.compat.assertions import asserting_methods
from workspace_rl.errors import VariableMismatchError


class Variable(library.Variable):
    """A variable that BBRL calls sliced while it is written step by step, and compact once it is set as a whole."""

    __slots__ = ()

    @property
    def is_sliced(self) -> bool:
        """Whether the variable has been written step by step."""
        return bool(self._steps)

    @property
    def size(self) -> torch.Size:
        """The shape, which BBRL gives without the time for sliced variables."""
        return self.shape if self.is_sliced else super().size

    def _unwritten(self, t: int) -> Tensor:
        return torch.zeros(self.shape, dtype=self.dtype, device=self.device)

    def set_full(self, value: Tensor) -> None:
        """Replace the variable; if it is sliced, it keeps the steps that `value` lacks."""
        if self.is_sliced:
            for t, step in enumerate(value):
                self.set(t, step)
        else:
            super().set_full(value)

    def get_full(self) -> Tensor:
        """Return all steps; of a sliced variable, a tensor that nobody has changed in place."""
        if self.is_sliced and self._full is not None and self._full._version:
            self._full = None
        return super().get_full()


@asserting_methods
class Workspace(library.Workspace):
    """The library's workspace with BBRL's border cases."""

    _new_variable = Variable
    _variables: dict[str, Variable]  # type: ignore[assignment]

    def __init__(self, workspace: library.Workspace | None = None) -> None:
        """Create an empty workspace, or a copy of `workspace`."""
        super().__init__()
        if workspace is not None:
            for name in workspace.keys():
                self.set_full(name, workspace.get_full(name).clone())

    def time_size(self, name: str | None = None) -> int:
        """Return the number of steps (None for an empty workspace)."""
        return super().time_size(name) if self._variables else None  # type: ignore[return-value]

    def copy_n_last_steps(self, n: int, var_names: Sequence[str] | None = None) -> None:
        """Copy the last `n` steps of all variables to the first; `var_names` only says whose length counts.

        BBRL does it once for each of them, which shows where the two ranges overlap.
        """
        sizes = {name: self.time_size(name) for name in self if var_names is None or name in var_names}
        size = self._shared_size("steps", sizes)
        for _ in range(len(sizes) if 2 * n > size else 1):
            self.copy_time(size - n, 0, n)

    def copy_time(self, from_time: int, to_time: int, n_steps: int, var_names: Sequence[str] | None = None) -> None:
        """Copy steps; of sliced variables one after the other."""
        for name, variable in self._variables.items():
            if var_names is not None and name not in var_names:
                continue
            if variable.is_sliced:
                for k in range(n_steps):
                    variable.set(to_time + k, variable.get(from_time + k))
            else:
                full = variable.get_full().clone()  # the tensor itself may be in somebody's hands
                full[to_time : to_time + n_steps] = full[from_time : from_time + n_steps].clone()
                variable.set_full(full)

    def get_transitions(self, no_final_state: bool = False, filter_key: str = "env/done") -> Self:
        """Return all pairs of successive steps, `[2, N, ...]`, but those whose first step has `filter_key`."""
        if self.time_size() == 1:
            return self._map(lambda value: value.new_empty(2, 0, *value.shape[2:]))
        return super().get_transitions(no_final_state, filter_key)

    def get_time_truncated(self, name: str, from_time: int, to_time: int) -> Tensor:
        """Return some steps of a variable."""
        if not 0 <= from_time < to_time:
            raise VariableMismatchError(f"0 <= from_time < to_time expected, {from_time} and {to_time} found.")
        return super().get_time_truncated(name, from_time, to_time)

    def get_time_truncated_workspace(self, from_time: int, to_time: int) -> Self:
        """Return a workspace with some steps of every variable."""
        return self._map(lambda value: value[from_time:to_time])

    def subtime(self, start: int, stop: int | None = None) -> Self:
        """Return a workspace with the steps `start` to `stop`; all variables must have the same number of steps."""
        self.time_size()
        return self._map(lambda value: value[start:stop])

    def contiguous(self) -> Self:
        """Return a workspace with the same values."""
        return self._map(lambda value: value)

    def __str__(self) -> str:
        """Return a line for each variable."""
        text = "Workspace:"
        for name in self:
            text += f"\n\t{name}: time_size = {self.time_size(name)}, batch_size = {self.batch_size(name)}"
        return text
