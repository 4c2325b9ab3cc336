"""The workspace: a shared memory of named tensors over time, `[T, B, ...]`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, overload

import torch
from torch import Tensor

from workspace_rl.access import given_read, given_write, missing_step, not_a_tensor, required_name
from workspace_rl.drawing.workspace_table import as_html, as_text
from workspace_rl.errors import NoWorkspaceError, VariableMismatchError
from workspace_rl.variables.named_variables import NamedVariables
from workspace_rl.variables.slicing import Slice, batch_elements, side_by_side, transitions, windows
from workspace_rl.variables.state_before import BEFORE, before_each_step, before_step, state_of
from workspace_rl.variables.variable import Variable

if TYPE_CHECKING:  # matplotlib is optional, and slow
    from matplotlib.figure import Figure


class Workspace(NamedVariables):
    """Named tensors over time that agents read and write.

    A variable has the shape `[T, B, ...]`: time, batch, features. Agents read and write single steps (`[B, ...]`) or
    the whole; methods that deal with whole variables alone are those of `NamedVariables`.

    - A write never changes a tensor that somebody has read: `get` returns the very tensor that was set, and a full
      read is a snapshot, cached until the next write.
    - Gradients flow through time, since tensors stay in the graph they were computed in.
    - Reading one step that nobody wrote is an error; a full read pads such gaps with zeros.
    - Beside a state (see `Agent.state_variables`) may stand what it was before step 0: `<state>/before`,
      `[1, B, ...]`. Where time is cut, the piece has what the state was before its own first step.
    """

    # ---- one step -------------------------------------------------------------------------------------------------

    @overload
    def set(self, name: str, t: int, value: Tensor, *, writer: str = "") -> None: ...

    @overload
    def set(self, name: tuple[str, int], t: Tensor, *, writer: str = "") -> None: ...

    @overload
    def set(self, name: tuple[str, int] = ..., *, value: Tensor, writer: str = "", index: Any = None) -> None: ...

    def set(self, name: Any = None, t: Any = None, value: Any = None, *, writer: str = "", index: Any = None) -> None:
        """Write `value` (`[B, ...]`) at step `t` of variable `name`; the first write decides shape, dtype and device.

        Both `set("x", t, value)` and an agent's form, `set(("x", t), value)`, may be used. Steps between the last
        written one and `t` stay unwritten. A negative `t` counts from the end. `writer` is the name of the agent that
        writes.

        Raises:
            AccessError: neither form is used, or the step is no whole number.
            NotATensorError: `value` is not a tensor.
            VariableMismatchError: shape, dtype or device differ from those of the variable's other steps.
            UnwrittenStepError: a negative `t` lies before the first step.
        """
        if type(t) is not int:
            name, t, value = given_write("Workspace", name if index is None else index, t, value)
            if t is None:
                raise missing_step("set", name)
        if not isinstance(value, Tensor):
            raise not_a_tensor(name, value)
        variable = self._variables.get(name)
        if variable is None:
            name = required_name("set", name, index)
            variable = self._variables.get(name) or self._new_variable(name, value)
            variable.set(t, value)
            self._variables[name] = variable
        else:
            variable.set(t, value)
        variable.writer = writer

    def set_several(self, values: Mapping[str, Tensor], t: int, *, writer: str = "") -> None:
        """Write the tensors of several variables at step `t`, each as `set` does."""
        variables = self._variables
        for name, value in values.items():
            variable = variables.get(name)
            if variable is None or not isinstance(value, Tensor):
                self.set(name, t, value, writer=writer)
            else:
                variable.set(t, value)
                variable.writer = writer

    @overload
    def get(self, name: str, t: int) -> Tensor: ...

    @overload
    def get(self, name: tuple[str, int] = ..., *, index: Any = None) -> Tensor: ...

    def get(self, name: Any = None, t: Any = None, *, index: Any = None) -> Tensor:
        """Return the tensor (`[B, ...]`) that was set at step `t` of variable `name`: `get("x", t)` or `get(("x", t))`.

        Raises:
            AccessError: neither form is used, or the step is no whole number.
            UnknownVariableError: nobody has written the variable.
            UnwrittenStepError: nobody has written that step.
        """
        if type(t) is not int:
            name, t = given_read("Workspace", name if index is None else index, t)
            if t is None:
                raise missing_step("get", name)
        variable = self._variables.get(name)
        if variable is None:
            variable = self._variable(required_name("get", name, index), t)
        return variable.get(t)

    # ---- time -----------------------------------------------------------------------------------------------------

    def copy_n_last_steps(self, n: int, var_names: Sequence[str] | None = None) -> None:
        """Copy the last `n` steps to the first `n` ones, so that the next run may start at `t=n`.

        The number of steps stays what it is: later steps keep their old values until they are written again. To
        continue in a new workspace that holds the last steps only, use `subtime(-n)`.

        Raises:
            VariableMismatchError: a variable has fewer than `n` steps.
            UnwrittenStepError: nobody has written one of the last `n`.
        """
        copied: dict[str, Variable] = {}
        for name in self._variables if var_names is None else var_names:
            state = state_of(self._variables, name)
            size = (state or self._variable(name)).time_size()
            if not 0 <= n <= size:
                raise VariableMismatchError(f"cannot copy the last {n} steps of variable {name!r}: it has {size}.")
            copied[name] = self._copied(name, size - n, 0, n)
        self._variables.update(copied)

    def copy_time(self, from_time: int, to_time: int, n_steps: int, var_names: Sequence[str] | None = None) -> None:
        """Copy `n_steps` steps starting at `from_time` to those starting at `to_time`; the two may overlap.

        Negative steps count from the end.

        Raises:
            UnwrittenStepError: nobody has written one of the steps, or they run over the end to the beginning.
        """
        names = list(self._variables) if var_names is None else var_names
        copied = {name: self._copied(name, from_time, to_time, n_steps) for name in dict.fromkeys(names)}
        self._variables.update(copied)  # all, or none

    def _copied(self, name: str, from_time: int, to_time: int, n_steps: int) -> Variable:
        variable, state = self._variable(name), state_of(self._variables, name)
        if state is None:
            return variable.with_copied_steps(from_time, to_time, n_steps)
        if to_time or not n_steps:  # what stands at step 0 stays
            return variable
        first = from_time if from_time >= 0 else from_time + state.time_size()
        return before_step(state, variable, first)

    def subtime(self, start: int, stop: int | None = None) -> Self:
        """Return a workspace with the steps `start` to `stop` (exclusive), sharing the tensors, as slices do."""
        part = type(self)()
        for name, variable in self._variables.items():
            if name.endswith(BEFORE) and (state := state_of(self._variables, name)) is not None:
                first, *_ = slice(start, stop).indices(state.time_size())
                part._variables[name] = before_step(state, variable, first)
                continue
            first, last, _ = slice(start, stop).indices(variable.time_size())
            part._variables[name] = variable.window(first, max(first, last))
        return part

    def select_subtime(self, t: Tensor, window_size: int) -> Self:
        """Return for each batch element b the steps `t[b]` to `t[b] + window_size`, `[window_size, B, ...]`.

        Args:
            t: `[B]`, the first step of each element's window.
            window_size: the number of steps.

        Raises:
            VariableMismatchError: a variable has another batch size than `t`.
            UnwrittenStepError: a window begins before step 0, or a variable ends before one of the windows does (looked
                for where `t` is on the CPU; a GPU is not waited for).
        """
        return self._cut(windows(self._over_time(), t, window_size))

    def get_time_truncated(self, name: str, from_time: int, to_time: int) -> Tensor:
        """Return the steps `from_time` to `to_time` (exclusive) of variable `name`, `[T, B, ...]`."""
        return self.get_full(name)[from_time:to_time]

    def get_transitions(self, no_final_state: bool = False, filter_key: str = "env/done") -> Self:
        """Return all pairs of successive steps as a workspace `[2, N, ...]`, ordered by time, then by environment.

        Pairs whose first step ends an episode are left out: with auto-reset the step after it belongs to the next
        episode. With `no_final_state`, all pairs are kept.

        Raises:
            VariableMismatchError: the variables' lengths or batch sizes differ, `filter_key` is no single value for
                each step of each environment, or there are fewer than two steps.
        """
        steps = self.time_size()
        if steps < 2:
            raise VariableMismatchError(f"a transition needs two steps, but the workspace has {steps}.")
        # Variables are [T, B, ...], or [T] where there is no batch.
        batch_dimensions = 0 if any(variable.shape == () for variable in self._variables.values()) else 1
        if batch_dimensions:
            self.batch_size()
        done = None if no_final_state else self.get_full(filter_key)
        if done is not None and done.ndim != batch_dimensions + 1:
            raise VariableMismatchError(
                f"variable {filter_key!r} must say where episodes end by one value for each step"
                f"{' and environment' * batch_dimensions}, {list(done.shape)} found."
            )
        return self._cut(transitions(batch_dimensions, done))

    def _cut(self, function: Slice) -> Self:
        """Return what a function of whole variables makes of them, pieces of time that begin at other steps."""
        cut = type(self)()
        for name, variable in self._variables.items():
            earlier = before_each_step(self._variables, name)
            value = function(variable.get_full()) if earlier is None else function(earlier)[:1]
            cut.set_full(name, value, writer=variable.writer)
        return cut

    # ---- batch ----------------------------------------------------------------------------------------------------

    def select_batch(self, indices: Tensor) -> Self:
        """Return a workspace with the given batch elements (`[N]`, integers), `[T, N, ...]`.

        Raises:
            VariableMismatchError: a variable has no such batch element (looked for where `indices` are on the CPU).
        """
        return self._map(batch_elements(self._variables, indices))

    def select_batch_n(self, n: int) -> Self:
        """Return a workspace with `n` batch elements drawn uniformly with replacement.

        Raises:
            VariableMismatchError: there is no batch, or the variables' batch sizes differ.
        """
        size = self.batch_size()
        if not size:
            raise VariableMismatchError("no batch elements can be drawn: the workspace has none.")
        return self.select_batch(torch.randint(size, (n,)))

    @staticmethod
    def cat_batch(workspaces: Iterable[Workspace]) -> Workspace:
        """Return one workspace whose batch is the batches of `workspaces` in a row.

        Raises:
            VariableMismatchError: the workspaces do not hold the same variables, or these differ in more than B.
            NoWorkspaceError: something else than workspaces is given.
        """
        parts = list(workspaces) if isinstance(workspaces, Iterable) else [workspaces]
        strange = [type(one).__name__ for one in parts if not isinstance(one, Workspace)]
        if strange:
            raise NoWorkspaceError(
                "cat_batch joins a list of workspaces, cat_batch([first, second]); "
                f"{type(workspaces).__name__} with {strange[0]} was given."
            )
        joined = type(parts[0])() if parts else Workspace()
        for name, value in side_by_side([part._variables for part in parts]).items():
            joined.set_full(name, value)
        return joined

    # ---- display --------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        """Return a table of the variables."""
        return as_text(self._variables)

    def _repr_html_(self) -> str:
        return as_html(self._variables)

    def plot(self, name: str, **options: Any) -> Figure:
        """Draw a variable over time, one line for each batch element: see `drawing.time_plots.plot_variable`."""
        from workspace_rl.drawing.time_plots import plot_variable

        return plot_variable(self, name, **options)
