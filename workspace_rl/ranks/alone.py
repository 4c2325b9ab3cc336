"""What a training asks of its ranks; this one has a single rank, and nothing happens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from workspace_rl.machine.interrupts import StopRequest


class Alone:
    """The one rank of a training that shares its learning with nobody.

    A rank is one of the processes that torchrun starts. Each runs the whole program on experience of its own; what
    they have in common goes through these methods, which all ranks call in the same order.
    """

    #: Its number, from 0; how many there are.
    rank, size = 0, 1

    @property
    def first(self) -> bool:
        """Whether it is the rank that writes the run's folder, scores, films and prints."""
        return self.rank == 0

    # ---- what is different for each rank --------------------------------------------------------------------------

    def share(self, n: int, name: str) -> int:
        """Return a rank's share of `n`, which the option called `name` says.

        Raises:
            ConfigError: `n` cannot be divided among the ranks.
        """
        return n

    def seed(self, seed: int) -> int:
        """Return what a rank's random numbers are derived from, those that weights are made of excepted."""
        return seed

    def device(self, name: str) -> str:
        """Return the rank's device among those that `name` may mean."""
        return name

    # ---- together -------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Meet the other ranks; once more changes nothing."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave them, and tell them why if that is an error."""

    @property
    def joined(self) -> bool:
        """Whether the other ranks can be talked to."""
        return False

    def turns(self, stop: StopRequest) -> contextlib.AbstractContextManager[Any]:
        """Within the block, gradients are averaged, and a stop takes effect where `total` is called, for all alike.

        Raises:
            RankError: another rank has left early.
            Stopped: another rank has been stopped where it was not to be waited for.
        """
        return contextlib.nullcontext()

    def apart(self) -> contextlib.AbstractContextManager[Any]:
        """Within the block, which only one rank runs, a stop takes effect at once."""
        return contextlib.nullcontext()

    def total(self, n: int) -> int:
        """Return the sum of `n` over ranks; a stop that one of them was asked for becomes that of all."""
        return n

    def all(self, one: bool) -> bool:
        """Return whether something holds for all ranks."""
        return one

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in order: plain data, as JSON can hold it."""
        return [value]

    def check_equal(self, weights: Callable[[], Mapping[str, Tensor]], when: str) -> None:
        """Compare the weights of all ranks bit by bit.

        Args:
            weights: returns them by name.
            when: is said in the error.

        Raises:
            RankError: they differ; the message names rank and weights.
        """
