"""Ratios of probabilities, as policy gradients have them, and where their two terms come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from workspace_rl.inspection.origins.origins import Origins
from workspace_rl.inspection.recording.callers import program_frame, short_name

SUBTRACTIONS, DIVISIONS = ("sub", "subtract"), ("div", "truediv", "true_divide", "divide")


@dataclass(frozen=True)
class Ratio:
    """The exponential of a difference, or the quotient of exponentials, that can learn."""

    #: The function that computes it.
    function: str
    terms: tuple[Origins, Origins]


class Ratios:
    """Finds ratios among the operations of a program."""

    def __init__(self, origins_of: Callable[[Tensor], Origins]) -> None:
        """Begin without any; `origins_of` says where a tensor comes from."""
        self.found: list[Ratio] = []
        self._origins_of = origins_of
        # By id of the result, which is kept so that no other has its id: the terms as they were then.
        self._differences: dict[int, tuple[Tensor, tuple[Origins, Origins]]] = {}
        self._exponentials: dict[int, Tensor] = {}

    def look(self, operation: str, args: Sequence[Any], result: Any) -> None:
        """Look at an operation that has been done."""
        tensors = [one for one in args if isinstance(one, Tensor)]
        if not isinstance(result, Tensor):
            return
        if operation == "exp":
            self._exponentials[id(result)] = result
            _, terms = self._differences.get(id(tensors[0]), (None, None))
        elif len(tensors) == 2 and tensors[0].shape == tensors[1].shape:
            terms = (self._origins_of(tensors[0]), self._origins_of(tensors[1]))
            if operation in SUBTRACTIONS:
                self._differences[id(result)] = (result, terms)
            if operation not in DIVISIONS or any(id(one) not in self._exponentials for one in tensors):
                return
        else:
            return
        frame = program_frame(3)
        if terms is not None and result.requires_grad and frame is not None:
            self.found.append(Ratio(short_name(frame.f_code), terms))
