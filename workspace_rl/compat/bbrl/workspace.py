"""`bbrl.workspace`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from workspace_rl import workspace as library
from workspace_rl.compat.assertions import asserting_methods
from workspace_rl.compat.bbrl.variables import CompactTemporalTensor as CompactTemporalTensor
from workspace_rl.compat.bbrl.variables import SlicedTemporalTensor as SlicedTemporalTensor
from workspace_rl.compat.bbrl.variables import Variable
from workspace_rl.errors import VariableMismatchError


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

    def batch_size(self, name: str | None = None) -> int:
        """Return the batch size (None for an empty workspace)."""
        return super().batch_size(name) if self._variables else None  # type: ignore[return-value]

    def copy_n_last_steps(self, n: int, var_names: Sequence[str] | None = None) -> None:
        """Copy the last `n` steps of all variables to the first; `var_names` only says whose length counts.

        BBRL does it once for each of them, which shows where the two ranges overlap.
        """
        sizes = {n: one.time_size() for n, one in self._over_time().items() if var_names is None or n in var_names}
        size = self._shared_size("steps", sizes)
        for _ in range(len(sizes) if 2 * n > size else 1):
            self.copy_time(size - n, 0, n)

    def copy_time(self, from_time: int, to_time: int, n_steps: int, var_names: Sequence[str] | None = None) -> None:
        """Copy steps; of sliced variables one after the other."""
        over_time = self._over_time()
        before = {name: self._copied(name, from_time, to_time, n_steps) for name in self if name not in over_time}
        for name, variable in over_time.items():
            if var_names is None or name in var_names:
                variable.copy_time(from_time, to_time, n_steps)  # type: ignore[attr-defined]
        self._variables.update(before)  # type: ignore[arg-type]

    def get_transitions(self, no_final_state: bool = False, filter_key: str = "env/done") -> Self:
        """Return all pairs of successive steps, `[2, N, ...]`, but those whose first step has `filter_key`."""
        if no_final_state:  # also of variables that differ in length
            return self._cut(
                lambda value: torch.stack([part.reshape(-1, *value.shape[2:]) for part in (value[:-1], value[1:])])
            )
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
        return self._cut(lambda value: value[from_time:to_time])

    def subtime(self, start: int, stop: int | None = None) -> Self:
        """Return a workspace with the steps `start` to `stop`; all variables must have the same number of steps."""
        self.time_size()
        return self._cut(lambda value: value[start:stop])

    def sample_subworkspace(self, n_times: int, n_batch_elements: int, n_timesteps: int) -> library.Workspace:
        """Return `n_times` windows of `n_timesteps` steps of `n_batch_elements` batch elements, side by side."""
        batch_size, time_size, samples = self.batch_size(), self.time_size(), []
        if n_timesteps > time_size:
            raise VariableMismatchError(f"windows of at most {time_size} steps expected, {n_timesteps} found.")
        for _ in range(n_times):
            sample = self
            if n_timesteps < time_size:
                start = np.random.randint(time_size - n_timesteps)
                sample = self.subtime(start, start + n_timesteps)
            if n_batch_elements < batch_size:
                sample = sample.select_batch(torch.randperm(batch_size)[:n_batch_elements])
            samples.append(sample)
        return self.cat_batch(samples) if len(samples) > 1 else samples[0]

    def contiguous(self) -> Self:
        """Return a workspace with the same values."""
        return self._map(lambda value: value)

    def __str__(self) -> str:
        """Return a line for each variable."""
        text = "Workspace:"
        for name in self:
            text += f"\n\t{name}: time_size = {self.time_size(name)}, batch_size = {self.batch_size(name)}"
        return text
