"""Variables by their names, read and written as a whole: what a workspace holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, KeysView
from typing import Self, overload

import torch
from torch import Tensor

from workspace_rl.access import not_a_tensor, unknown_variable
from workspace_rl.errors import VariableMismatchError
from workspace_rl.variables.state_before import BEFORE, state_of
from workspace_rl.variables.variable import Variable


class NamedVariables:
    """Tensors over time by name, `[T, B, ...]` each. Variables may have different lengths."""

    def __init__(self, workspace: NamedVariables | None = None) -> None:
        """Create an empty one, or one with the variables of `workspace` (tensors shared, writes apart)."""
        self._variables: dict[str, Variable] = {}
        if workspace is not None:
            self._variables = {name: variable.copy() for name, variable in workspace._variables.items()}

    #: What variables are made of.
    _new_variable: type[Variable] = Variable

    # ---- whole variables ------------------------------------------------------------------------------------------

    def set_full(self, name: str, value: Tensor, *, writer: str = "") -> None:
        """Replace variable `name` by `value` (`[T, B, ...]`), by reference.

        Raises:
            NotATensorError: `value` is not a tensor.
            VariableMismatchError: `value` has no time dimension.
        """
        if not isinstance(value, Tensor):
            raise not_a_tensor(name, value)
        if value.ndim == 0:
            raise VariableMismatchError(f"variable {name!r} needs a time dimension [T, B, ...], a scalar was given.")
        variable = self._variables.get(name)
        if variable is None:
            variable = self._variables[name] = self._new_variable(name, value)
        variable.set_full(value)
        variable.writer = writer

    def get_full(self, name: str) -> Tensor:
        """Return variable `name` as one tensor `[T, B, ...]`, a snapshot: later writes do not change it.

        Raises:
            UnknownVariableError: nobody has written the variable.
        """
        return self._variable(name).get_full()

    @overload
    def __getitem__(self, name: str) -> Tensor: ...

    @overload
    def __getitem__(self, name: tuple[str, ...] | list[str]) -> tuple[Tensor, ...]: ...

    def __getitem__(self, name: str | tuple[str, ...] | list[str]) -> Tensor | tuple[Tensor, ...]:
        """Return `ws["a"]`, the whole variable, or `ws["a", "b"]`, a tuple of them."""
        if isinstance(name, str):
            return self.get_full(name)
        return tuple(self.get_full(one) for one in name)

    def __setitem__(self, name: str, value: Tensor) -> None:
        """Replace a whole variable, as `set_full` does."""
        self.set_full(name, value)

    def __contains__(self, name: object) -> bool:
        """Return whether somebody has written variable `name`."""
        return name in self._variables

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the variables."""
        return iter(self._variables)

    def __len__(self) -> int:
        """Return the number of variables."""
        return len(self._variables)

    def keys(self) -> KeysView[str]:
        """Return the names of the variables."""
        return self._variables.keys()

    @property
    def variables(self) -> dict[str, Variable]:
        """The variables by name: their `size`, `dtype`, `device` and last `writer`."""
        return self._variables

    def remove_variable(self, name: str) -> None:
        """Forget variable `name`."""
        self._variable(name)
        del self._variables[name]

    def clear(self, name: str | None = None) -> None:
        """Forget one variable, or all."""
        if name is None:
            self._variables.clear()
        else:
            self.remove_variable(name)

    # ---- sizes ----------------------------------------------------------------------------------------------------

    def time_size(self, name: str | None = None) -> int:
        """Return T of one variable, or the T that all variables share (0 for an empty workspace).

        What a state was before the first step, the variable `<state>/before`, is no step.

        Raises:
            VariableMismatchError: no name is given and the variables' lengths differ.
        """
        if name is not None:
            return self._variable(name).time_size()
        return self._shared_size("steps", {name: one.time_size() for name, one in self._over_time().items()})

    def batch_size(self, name: str | None = None) -> int:
        """Return B of one variable, or the B that all variables share (0 for an empty workspace).

        Raises:
            VariableMismatchError: no name is given and the variables' batch sizes differ.
        """
        if name is not None:
            return self._variable(name).batch_size()
        return self._shared_size("batch size", {n: v.batch_size() for n, v in self._variables.items()})

    # ---- tensors --------------------------------------------------------------------------------------------------

    def to(self, device: torch.device | str) -> Self:
        """Return a workspace with all tensors on `device`."""
        return self._map(lambda value: value.to(device))

    def detach(self) -> None:
        """Cut all variables from the graph they were computed in."""
        for variable in self._variables.values():
            variable.detach()

    zero_grad = detach  # BBRL's name for it

    # ---- helpers --------------------------------------------------------------------------------------------------

    def _variable(self, name: str, t: int | None = None) -> Variable:
        variable = self._variables.get(name)
        if variable is None:
            raise unknown_variable(name, t, self._variables)
        return variable

    def _over_time(self) -> dict[str, Variable]:
        """Return the variables without those that hold what a state was before the first step."""
        every = self._variables
        return {name: one for name, one in every.items() if not name.endswith(BEFORE) or state_of(every, name) is None}

    def _map(self, function: Callable[[Tensor], Tensor]) -> Self:
        mapped = type(self)()
        for name, variable in self._variables.items():
            mapped.set_full(name, function(variable.get_full()), writer=variable.writer)
        return mapped

    def _shared_size(self, what: str, sizes: dict[str, int]) -> int:
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name!r}: {size}" for name, size in sizes.items())
            raise VariableMismatchError(
                f"the variables of the workspace differ in their number of {what} ({listed}). "
                "Ask for one variable by its name."
            )
        return next(iter(sizes.values()), 0)
