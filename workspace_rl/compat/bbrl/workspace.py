"""`bbrl.workspace`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from workspace_rl import workspace as library
from workspace_rl.compat.assertions import asserting
from workspace_rl.errors import UnwrittenStepError, VariableMismatchError


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

    def get(self, t: int) -> Tensor:
        """Return step `t`; steps that nobody wrote are zeros."""
        try:
            return super().get(t)
        except UnwrittenStepError:
            if not -self.time_size() <= t < self.time_size():
                raise
            return torch.zeros(self.shape, dtype=self.dtype, device=self.device)

    def get_full(self) -> Tensor:
        """Return all steps; of a sliced variable, a tensor that nobody has changed in place."""
        if self.is_sliced and self._full is not None and self._full._version:
            self._full = None
        return super().get_full()


class Workspace(library.Workspace):
    """The library's workspace with BBRL's border cases."""

    _new_variable = Variable

    def __init__(self, workspace: library.Workspace | None = None) -> None:
        """Create an empty workspace, or a copy of `workspace`."""
        super().__init__()
        if workspace is not None:
            for name in workspace.keys():
                self.set_full(name, workspace.get_full(name).clone())

    @asserting
    def set_full(self, name: str, value: Tensor, *, writer: str = "") -> None:
        """Replace a variable; one that has been written step by step keeps the steps that `value` lacks."""
        variable = self._variables.get(name)
        if isinstance(variable, Variable) and variable.is_sliced:
            for t, step in enumerate(value):
                self.set(name, t, step, writer=writer)
        else:
            super().set_full(name, value, writer=writer)

    set = asserting(library.Workspace.set)
    get = asserting(library.Workspace.get)
    get_full = asserting(library.Workspace.get_full)
    batch_size = asserting(library.Workspace.batch_size)
    select_batch = asserting(library.Workspace.select_batch)

    @asserting
    def time_size(self, name: str | None = None) -> int:
        """Return the number of steps (None for an empty workspace)."""
        return super().time_size(name) if self._variables else None  # type: ignore[return-value]

    @asserting
    def copy_n_last_steps(self, n: int, var_names: Sequence[str] | None = None) -> None:
        """Copy the last `n` steps of all variables to the first; `var_names` only says whose length counts.

        BBRL does it once for each of them, which shows where the two ranges overlap.
        """
        named = [name for name in self if var_names is None or name in var_names]
        sizes = {self._variables[name].time_size() for name in named}
        if len(sizes) > 1:
            raise VariableMismatchError(f"the variables {', '.join(named)} differ in their number of steps: {sizes}.")
        for size in sizes:
            for _ in range(len(named) if 2 * n > size else 1):
                self.copy_time(size - n, 0, n)

    @asserting
    def copy_time(self, from_time: int, to_time: int, n_steps: int, var_names: Sequence[str] | None = None) -> None:
        """Copy steps; of sliced variables one after the other."""
        for name, variable in self._variables.items():
            if var_names is not None and name not in var_names:
                continue
            if isinstance(variable, Variable) and variable.is_sliced:
                for k in range(n_steps):
                    variable.set(to_time + k, variable.get(from_time + k))
            else:
                full = variable.get_full().clone()  # the tensor itself may be in somebody's hands
                full[to_time : to_time + n_steps] = full[from_time : from_time + n_steps].clone()
                variable.set_full(full)

    @asserting
    def get_transitions(self, no_final_state: bool = False, filter_key: str = "env/done") -> Self:
        """Return all pairs of successive steps, `[2, N, ...]`, but those whose first step has `filter_key`."""
        if self.time_size() == 1:
            return self._map(lambda value: value.new_empty(2, 0, *value.shape[2:]))
        return super().get_transitions(no_final_state, filter_key)

    @asserting
    def get_time_truncated(self, name: str, from_time: int, to_time: int) -> Tensor:
        """Return some steps of a variable."""
        if not 0 <= from_time < to_time:
            raise VariableMismatchError(f"0 <= from_time < to_time expected, {from_time} and {to_time} found.")
        return super().get_time_truncated(name, from_time, to_time)

    def get_time_truncated_workspace(self, from_time: int, to_time: int) -> Self:
        """Return a workspace with some steps of every variable."""
        return self._map(lambda value: value[from_time:to_time])

    @asserting
    def subtime(self, start: int, stop: int | None = None) -> Self:
        """Return a workspace with the steps `start` to `stop`; all variables must have the same number of steps."""
        self.time_size()
        return self._map(lambda value: value[start:stop])

    def contiguous(self) -> Self:
        """Return a workspace with the same values."""
        return self._map(lambda value: value)

    def __str__(self) -> str:
        """Return a line for each variable."""
        lines = [
            f"\t{name}: time_size = {variable.time_size()}, batch_size = {variable.batch_size()}"
            for name, variable in self._variables.items()
        ]
        return "\n".join(["Workspace:", *lines])
