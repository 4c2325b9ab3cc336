"""Slicing workspaces: windows of steps, transitions, batch elements, and batches side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from workspace_rl.errors import UnwrittenStepError, VariableMismatchError
from workspace_rl.variables.variable import Variable

#: What makes a whole variable, `[T, B, ...]`, of another one.
Slice = Callable[[Tensor], Tensor]


def windows(variables: Mapping[str, Variable], t: Tensor, window_size: int) -> Slice:
    """Return what takes for each batch element b the steps `t[b]` to `t[b] + window_size`, `[window_size, B, ...]`.

    Raises:
        VariableMismatchError: a variable has another batch size than `t`.
        UnwrittenStepError: a window begins before step 0, or a variable ends before one of the windows does.
    """
    if _some(t < 0):
        raise UnwrittenStepError(f"windows begin at step 0 or later, not at {t.tolist()}.")
    for name, variable in variables.items():
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
    return lambda value: value[times, batch]


def transitions(batch_dimensions: int, done: Tensor | None) -> Slice:
    """Return what takes all pairs of successive steps, `[2, N, ...]`, ordered by time, then by environment.

    Args:
        batch_dimensions: 1, or 0 for variables without a batch, `[T]`.
        done: `[T, B]` or `[T]`; pairs whose first step has it are left out. None keeps all.
    """
    keep = None if done is None else (~done[:-1].bool()).flatten().nonzero().squeeze(-1)

    def pairs(value: Tensor) -> Tensor:
        first, second = (part.flatten(0, batch_dimensions) for part in (value[:-1], value[1:]))
        if keep is None:
            return torch.stack((first, second))
        return torch.stack((first.index_select(0, keep), second.index_select(0, keep)))

    return pairs


def batch_elements(variables: Mapping[str, Variable], indices: Tensor) -> Slice:
    """Return what takes the batch elements `indices` (`[N]`, integers), `[T, N, ...]`.

    Raises:
        VariableMismatchError: a variable has no such batch element.
    """
    for name, variable in variables.items():
        if not variable.shape or _some((indices < 0) | (indices >= variable.shape[0])):
            raise VariableMismatchError(
                f"batch elements {indices.tolist()} cannot be selected from variable {name!r}, "
                f"{list(variable.size)}: elements 0 to B - 1 of [T, B, ...] can."
            )
    return lambda value: value.index_select(1, indices.to(value.device))


def side_by_side(parts: Sequence[Mapping[str, Variable]]) -> dict[str, Tensor]:
    """Return whole variables whose batch is the batches of `parts` in a row.

    Raises:
        VariableMismatchError: the parts do not hold the same variables, or these differ in more than B.
    """
    joined: dict[str, Tensor] = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        values = []
        for index, part in enumerate(parts):
            if name not in part:
                raise VariableMismatchError(f"workspace {index} lacks variable {name!r}, which others to join have.")
            values.append(part[name].get_full())
        kinds = {(value.ndim, value.shape[0], value.shape[2:], value.dtype, value.device) for value in values}
        if len(kinds) > 1 or values[0].ndim < 2:
            found = ", ".join(f"{list(value.shape)} of {value.dtype} on {value.device}" for value in values)
            raise VariableMismatchError(
                f"variable {name!r} must be [T, B, ...] and may only differ in its batch size, found {found}."
            )
        joined[name] = torch.cat(values, dim=1)
    return joined


def _some(condition: Tensor) -> bool:
    """Return whether a condition holds somewhere, as far as that can be known without waiting for a device."""
    return not torch.compiler.is_compiling() and condition.device.type == "cpu" and bool(condition.any())
