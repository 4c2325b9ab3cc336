"""Watching for sums along the rows of a batch: each row then gets what belongs to its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from workspace_rl.inspection.copies.nested import flat
from workspace_rl.inspection.origins.origins import Origins
from workspace_rl.inspection.recording.accesses import Call
from workspace_rl.inspection.recording.callers import program_frame

#: Modules whose functions compute what they are told to: who calls them is responsible.
CALLED = ("workspace_rl.experience.returns", "workspace_rl.compat.")


@dataclass(eq=False)
class Crossing:
    """An operation in which a reward of one row of a batch has met what belongs to the next row."""

    call: Call
    n_rows: int


class RowWatch(TorchFunctionMode):
    """Notes such operations within a `with` block.

    Rows are the first dimension of what has no time: `[N]` or `[N, 1]`, where N is a multiple of the batch size. That
    `x[i]` meets `x[i + 1]`, or `x[:-1]` meets `x[1:]`, is what sums over time do.
    """

    def __init__(
        self,
        batch_size: int,
        times: Collection[int],
        origins_of: Callable[[Tensor], Origins],
        here: Callable[[FrameType], Call],
    ) -> None:
        """Watch batches of `batch_size`; lengths in `times` are those of time."""
        super().__init__()
        self.found: list[Crossing] = []
        self._batch_size, self._times = batch_size, set(times)
        self._origins_of, self._here = origins_of, here
        # By id: a tensor of some rows, how many rows there are, and which ones, as those that slices begin with.
        self._parts: dict[int, tuple[Tensor, int, frozenset[int]]] = {}

    def __torch_function__(
        self, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `function` and note which rows what it returns is made of."""
        result = function(*args, **(kwargs or {}))
        if self._batch_size < 2 or not isinstance(result, Tensor):
            return result
        if function is Tensor.__getitem__:
            self._take(args[0], args[1], result)
            return result
        known = [self._parts[id(one)] for one in flat([*args]) if isinstance(one, Tensor) and id(one) in self._parts]
        if known:
            starts = frozenset[int]().union(*(one for _, _, one in known))
            self._parts[id(result)] = (result, known[0][1], starts)
            neighbours = len(known) > 1 and any(one + 1 in starts for one in starts)
            if neighbours and self._origins_of(result).reward:
                self._note(known[0][1])
        return result

    def _take(self, value: Tensor, index: Any, result: Tensor) -> None:
        first = index[0] if isinstance(index, tuple) and index else index
        rows = value.shape[0] if value.ndim else 0
        if not self._is_rows(value) or not isinstance(first, int | slice) or isinstance(first, bool):
            return
        start = first % rows if isinstance(first, int) else first.indices(rows)[0]
        self._parts[id(result)] = (result, rows, frozenset({start}))

    def _is_rows(self, value: Tensor) -> bool:
        shape = tuple(value.shape)
        flat_shape = len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)
        return flat_shape and shape[0] > 1 and shape[0] % self._batch_size == 0 and shape[0] not in self._times

    def _note(self, n_rows: int) -> None:
        frame = program_frame(2)
        while frame is not None and frame.f_globals.get("__name__", "").startswith(CALLED):
            frame = frame.f_back
        if frame is not None:
            self.found.append(Crossing(self._here(frame), n_rows))
