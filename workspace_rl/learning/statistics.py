"""Running statistics of what was collected: moments of each piece, and who puts them together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from workspace_rl.workspace import Workspace


class Moments(NamedTuple):
    """How many values there are, what their mean is, and how far from it they lie."""

    n: int
    #: `[...]`, float64.
    mean: Tensor
    #: The sum of the squared deviations from the mean, `[...]`, float64.
    squares: Tensor

    @classmethod
    def of(cls, values: Tensor) -> Self:
        """Return those of `values`, `[n, ...]`; computed in float64 on the CPU."""
        values = values.detach().to("cpu", torch.float64)
        if not len(values):
            return cls(0, values.new_zeros(values.shape[1:]), values.new_zeros(values.shape[1:]))
        mean = values.mean(0)
        return cls(len(values), mean, (values - mean).square().sum(0))

    def as_plain(self) -> list[Any]:
        """Return them as plain data, exactly, for other processes."""
        return [self.n, self.mean.tolist(), self.squares.tolist()]

    @classmethod
    def from_plain(cls, plain: list[Any]) -> Self:
        """Return what `as_plain` was called on."""
        n, mean, squares = plain
        return cls(n, torch.tensor(mean, dtype=torch.float64), torch.tensor(squares, dtype=torch.float64))


class Statistics(ABC):
    """Part of a module whose buffers are running statistics of what was collected.

    Acting, evaluating and learning read them; nothing but `merge` changes them. The training loop calls it, on the
    learner's side alone and for each new frame once, with what all collectors have brought to all ranks; collectors
    are sent the buffers with the weights.
    """

    #: What the statistics are of, as in the option `algorithm.normalize_...`.
    statistics_of: ClassVar[str]
    #: Whether what is new counts in the updates on it already; else only after them, so that these see the numbers
    #: that the policy saw when it acted.
    known_to_updates: ClassVar[bool] = False

    @abstractmethod
    def moments(self, frames: Workspace, before: Any = None, *, n_repeated: int = 0) -> tuple[Moments, Any]:
        """Return the moments of a collector's next frames, and what is needed to go on from them.

        Args:
            frames: `[T, B, ...]`, as they were collected.
            before: what was returned for the frames before; None where these follow nothing.
            n_repeated: how many of the first frames were among those before.
        """

    @abstractmethod
    def merge(self, moments: Moments) -> None:
        """Take moments into the statistics."""
