"""BBRL's variables: sliced ones, which are written step by step, and compact ones, which are set as a whole."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from workspace_rl.variables import variable as library

#: A part of the batch, from and to; BBRL's workspaces that processes share have it, others None.
BatchDims = tuple[int, int] | None


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

    @property
    def tensors(self) -> list[Tensor]:
        """The steps."""
        return [self.get(t) for t in range(self.time_size())]

    @property
    def tensor(self) -> Tensor:
        """The whole variable, `[T, B, ...]`."""
        return self.get_full()

    def _unwritten(self, t: int) -> Tensor:
        return torch.zeros(self.shape, dtype=self.dtype, device=self.device)

    def set(self, t: int, value: Tensor, batch_dims: BatchDims = None) -> None:
        """Write `value` (`[B, ...]`) at step `t`."""
        super().set(t, value)

    def get(self, t: int, batch_dims: BatchDims = None) -> Tensor:
        """Return step `t`, or a part of its batch."""
        value = super().get(t)
        return value if batch_dims is None else value[slice(*batch_dims)]

    def set_full(self, value: Tensor, batch_dims: BatchDims = None) -> None:
        """Replace the variable; if it is sliced, it keeps the steps that `value` lacks."""
        if self.is_sliced:
            for t, step in enumerate(value):
                self.set(t, step)
        else:
            super().set_full(value)

    def get_full(self, batch_dims: BatchDims = None) -> Tensor:
        """Return all steps; of a sliced variable, a tensor that nobody has changed in place."""
        if self.is_sliced and self._full is not None and self._full._version:
            self._full = None
        full = super().get_full()
        return full if batch_dims is None else full[:, slice(*batch_dims)]

    def get_time_truncated(self, from_time: int, to_time: int, batch_dims: BatchDims = None) -> Tensor:
        """Return some steps."""
        return self.get_full(batch_dims)[from_time:to_time]

    def copy_time(self, from_time: int, to_time: int, n_steps: int) -> None:
        """Copy steps; of a sliced variable one after the other."""
        if self.is_sliced:
            for k in range(n_steps):
                self.set(to_time + k, self.get(from_time + k))
        else:
            full = self.get_full().clone()  # the tensor itself may be in somebody's hands
            full[to_time : to_time + n_steps] = full[from_time : from_time + n_steps].clone()
            self.set_full(full)

    def select_batch(self, indices: Tensor) -> Self:
        """Return a variable with some batch elements."""
        return self._map(lambda value: value[indices.to(value.device)])

    def to(self, device: torch.device | str) -> Self:
        """Return the variable on another device."""
        return self._map(lambda value: value.to(device))

    def zero_grad(self) -> None:
        """Cut the variable from the graph it was computed in."""
        detached = self._map(Tensor.detach)
        self._steps, self._full = detached._steps, detached._full

    def subtime(self, start: int, stop: int | None) -> CompactTemporalTensor:
        """Return some steps as a variable."""
        return CompactTemporalTensor(self.get_full()[start:stop])

    def clear(self) -> None:
        """Forget all steps."""
        self._steps, self._full = [], None

    def _map(self, function: Any) -> Self:
        """Return a variable of the same kind with another value at each step."""
        twin: Any = self.copy()
        values = [function(value) for value in self.tensors]
        twin._steps, twin._full = (values, None) if self.is_sliced else (None, torch.stack(values))
        if values:
            twin.shape, twin.dtype, twin.device = values[0].shape, values[0].dtype, values[0].device
        return twin  # type: ignore[no-any-return]


class _Kind(type):
    """Says of any variable whether it is of a kind at the moment: BBRL replaces it by one of the other kind."""

    def __instancecheck__(cls, one: object) -> bool:
        return type(one) is cls or (isinstance(one, Variable) and one.is_sliced is cls.sliced)  # type: ignore[attr-defined]


class SlicedTemporalTensor(Variable, metaclass=_Kind):
    """A variable that is written step by step."""

    __slots__ = ()
    sliced = True
    is_sliced = True

    def __init__(self) -> None:
        """Create an empty variable; the first value decides shape, dtype and device."""
        self.name = self.writer = ""
        self.shape = self.dtype = self.device = None  # type: ignore[assignment]
        self._steps, self._full = [], None

    def set(self, t: int, value: Tensor, batch_dims: BatchDims = None) -> None:
        """Write `value` (`[B, ...]`) at step `t`."""
        if not self._steps:
            self.shape, self.dtype, self.device = value.shape, value.dtype, value.device
        super().set(t, value)

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]


class CompactTemporalTensor(Variable, metaclass=_Kind):
    """A variable that is set as a whole."""

    __slots__ = ()
    sliced = False

    def __init__(self, value: Tensor | None = None) -> None:
        """Create a variable that holds `value`, `[T, B, ...]`."""
        self.name = self.writer = ""
        self.shape = self.dtype = self.device = None  # type: ignore[assignment]
        self._steps, self._full = None, None
        if value is not None:
            self.set_full(value)

    def to_sliced(self) -> SlicedTemporalTensor:
        """Return the same steps, to be written one by one."""
        sliced = SlicedTemporalTensor()
        sliced.set_full(self.get_full())
        return sliced
