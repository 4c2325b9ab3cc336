"""The workspace: a shared memory of named tensors over time, `[T, B, ...]`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, overload

import torch
from torch import Tensor

from workspace_rl.access import given_read, given_write, missing_step, required_name
from workspace_rl.drawing.workspace_table import as_html, as_text
from workspace_rl.errors import (
    NotATensorError,
    NoWorkspaceError,
    UnknownVariableError,
    UnwrittenStepError,
    VariableMismatchError,
    did_you_mean,
)

if TYPE_CHECKING:  # matplotlib is optional, and slow
    from matplotlib.figure import Figure


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


class Workspace:
    """Named tensors over time that agents read and write.

    A variable has the shape `[T, B, ...]`: time, batch, features. Agents read and write single steps (`[B, ...]`) or
    the whole. Variables may have different lengths.

    - A write never changes a tensor that somebody has read: `get` returns the very tensor that was set, and a full
      read is a snapshot, cached until the next write.
    - Gradients flow through time, since tensors stay in the graph they were computed in.
    - Reading one step that nobody wrote is an error; a full read pads such gaps with zeros.
    """

    def __init__(self, workspace: Workspace | None = None) -> None:
        """Create an empty workspace, or one with the variables of `workspace` (tensors shared, writes apart)."""
        self._variables: dict[str, Variable] = {}
        if workspace is not None:
            self._variables = {name: variable.copy() for name, variable in workspace._variables.items()}

    #: What variables are made of.
    _new_variable: type[Variable] = Variable

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
            raise NotATensorError(_not_a_tensor(name, value))
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

    # ---- whole variables ------------------------------------------------------------------------------------------

    def set_full(self, name: str, value: Tensor, *, writer: str = "") -> None:
        """Replace variable `name` by `value` (`[T, B, ...]`), by reference.

        Raises:
            NotATensorError: `value` is not a tensor.
            VariableMismatchError: `value` has no time dimension.
        """
        if not isinstance(value, Tensor):
            raise NotATensorError(_not_a_tensor(name, value))
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

        Raises:
            VariableMismatchError: no name is given and the variables' lengths differ.
        """
        if name is not None:
            return self._variable(name).time_size()
        return self._shared_size("steps", {n: v.time_size() for n, v in self._variables.items()})

    def batch_size(self, name: str | None = None) -> int:
        """Return B of one variable, or the B that all variables share (0 for an empty workspace).

        Raises:
            VariableMismatchError: no name is given and the variables' batch sizes differ.
        """
        if name is not None:
            return self._variable(name).batch_size()
        return self._shared_size("batch size", {n: v.batch_size() for n, v in self._variables.items()})

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
            size = self._variable(name).time_size()
            if not 0 <= n <= size:
                raise VariableMismatchError(f"cannot copy the last {n} steps of variable {name!r}: it has {size}.")
            copied[name] = self._with_copied_steps(name, size - n, 0, n)
        self._variables.update(copied)

    def copy_time(self, from_time: int, to_time: int, n_steps: int, var_names: Sequence[str] | None = None) -> None:
        """Copy `n_steps` steps starting at `from_time` to those starting at `to_time`; the two may overlap.

        Negative steps count from the end.

        Raises:
            UnwrittenStepError: nobody has written one of the steps, or they run over the end to the beginning.
        """
        names = list(self._variables) if var_names is None else var_names
        self._variables.update(
            {name: self._with_copied_steps(name, from_time, to_time, n_steps) for name in dict.fromkeys(names)}
        )

    def _with_copied_steps(self, name: str, from_time: int, to_time: int, n_steps: int) -> Variable:
        """Return a variable that takes the place of `name` if those of all others can be copied, too."""
        variable = self._variable(name).copy()
        for start in (from_time, to_time):
            if start < 0 < start + n_steps:
                raise UnwrittenStepError(
                    f"{n_steps} steps from step {start} of variable {name!r} run over its end to its beginning.",
                    variable=name,
                    step=start,
                )
        values = [variable.get(from_time + k) for k in range(n_steps)]
        for k, value in enumerate(values):
            variable.set(to_time + k, value)
        return variable

    def subtime(self, start: int, stop: int | None = None) -> Self:
        """Return a workspace with the steps `start` to `stop` (exclusive), sharing the tensors, as slices do."""
        part = type(self)()
        for name, variable in self._variables.items():
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
        if _some(t < 0):
            raise UnwrittenStepError(f"windows begin at step 0 or later, not at {t.tolist()}.")
        for name, variable in self._variables.items():
            if variable.shape[:1] != t.shape:
                raise VariableMismatchError(
                    f"windows of {list(t.shape)} batch elements cannot be selected from variable {name!r}, "
                    f"{list(variable.size)}: one first step for each element of the batch is needed."
                )
            steps = variable.time_size()
            if _some(t + window_size > steps):
                raise UnwrittenStepError(
                    f"variable {name!r} has {steps} steps, too few for windows of {window_size} steps that begin at "
                    f"{t.tolist()}.",
                    variable=name,
                )
        batch = torch.arange(t.shape[0], device=t.device)
        times = t.unsqueeze(0) + torch.arange(window_size, device=t.device).unsqueeze(1)
        return self._map(lambda value: value[times, batch])

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
        last_batch_dimension = 0 if any(variable.shape == () for variable in self._variables.values()) else 1
        if last_batch_dimension:
            self.batch_size()
        if not no_final_state and self.get_full(filter_key).ndim != last_batch_dimension + 1:
            raise VariableMismatchError(
                f"variable {filter_key!r} must say where episodes end by one value for each step"
                f"{' and environment' * last_batch_dimension}, {list(self.get_full(filter_key).shape)} found."
            )
        keep = None if no_final_state else (~self.get_full(filter_key)[:-1].bool()).flatten().nonzero().squeeze(-1)

        def pairs(value: Tensor) -> Tensor:
            first, second = (part.flatten(0, last_batch_dimension) for part in (value[:-1], value[1:]))
            if keep is None:
                return torch.stack((first, second))
            return torch.stack((first.index_select(0, keep), second.index_select(0, keep)))

        return self._map(pairs)

    # ---- batch ----------------------------------------------------------------------------------------------------

    def select_batch(self, indices: Tensor) -> Self:
        """Return a workspace with the given batch elements (`[N]`, integers), `[T, N, ...]`.

        Raises:
            VariableMismatchError: a variable has no such batch element (looked for where `indices` are on the CPU).
        """
        for name, variable in self._variables.items():
            if not variable.shape or _some((indices < 0) | (indices >= variable.shape[0])):
                raise VariableMismatchError(
                    f"batch elements {indices.tolist()} cannot be selected from variable {name!r}, "
                    f"{list(variable.size)}: elements 0 to B - 1 of [T, B, ...] can."
                )
        return self._map(lambda value: value.index_select(1, indices.to(value.device)))

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
        for name in dict.fromkeys(name for part in parts for name in part):
            values = []
            for index, part in enumerate(parts):
                if name not in part:
                    raise VariableMismatchError(
                        f"workspace {index} lacks variable {name!r}, which others to join have."
                    )
                values.append(part.get_full(name))
            kinds = {(value.ndim, value.shape[0], value.shape[2:], value.dtype, value.device) for value in values}
            if len(kinds) > 1 or values[0].ndim < 2:
                found = ", ".join(f"{list(value.shape)} of {value.dtype} on {value.device}" for value in values)
                raise VariableMismatchError(
                    f"variable {name!r} must be [T, B, ...] and may only differ in its batch size, found {found}."
                )
            joined.set_full(name, torch.cat(values, dim=1))
        return joined

    # ---- tensors --------------------------------------------------------------------------------------------------

    def to(self, device: torch.device | str) -> Self:
        """Return a workspace with all tensors on `device`."""
        return self._map(lambda value: value.to(device))

    def detach(self) -> None:
        """Cut all variables from the graph they were computed in."""
        for variable in self._variables.values():
            if variable._steps is not None:
                variable._steps = [None if step is None else step.detach() for step in variable._steps]
            if variable._full is not None:
                variable._full = variable._full.detach()

    zero_grad = detach  # BBRL's name for it

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

    # ---- helpers --------------------------------------------------------------------------------------------------

    def _variable(self, name: str, t: int | None = None) -> Variable:
        variable = self._variables.get(name)
        if variable is None:
            known = ", ".join(repr(one) for one in self._variables) or "none"
            raise UnknownVariableError(
                f"{'' if t is None else f'step {t} of '}variable {name!r} was read, but nobody has written it."
                f"{did_you_mean(str(name), self._variables)} Variables written so far: {known}.",
                variable=name,
                step=t,
            )
        return variable

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


def _some(condition: Tensor) -> bool:
    """Return whether a condition holds somewhere, as far as that can be known without waiting for a device."""
    return not torch.compiler.is_compiling() and condition.device.type == "cpu" and bool(condition.any())


def _not_a_tensor(name: str, value: object) -> str:
    return (
        f"variable {name!r} must be a tensor, {type(value).__name__} was given. "
        "Convert it first, for instance by torch.as_tensor(value)."
    )
