"""Collectors that fail: how often they may, and what is said when it was too often."""

from __future__ import annotations

import warnings
from collections import Counter

from workspace_rl.collectors.order import Failure
from workspace_rl.errors import CollectorError


class Faults:
    """Counts the failures of all collectors of a run."""

    def __init__(self, max_restarts: int, seed: int) -> None:
        """Allow `max_restarts` failures in a run with this seed."""
        self._most, self._seed = max_restarts, seed
        #: Failures so far, of all collectors.
        self.n_restarts = 0
        self._same: Counter[tuple[int, int, str]] = Counter()

    def note(self, failure: Failure, number: int, where: str) -> None:
        """Note that a collector, which is `where`, has failed at its fragment `number`.

        Raises:
            CollectorError: that was one failure too many, or the same exception at the same fragment again: it would
                be raised for ever.
        """
        self.n_restarts += 1
        if failure.exception is not None:
            self._same[failure.collector, number, failure.error] += 1
            if self._same[failure.collector, number, failure.error] > 1:
                raise self._error(failure, number, where, "has failed twice in the same way") from failure.exception
        if self.n_restarts > self._most:
            why = f"has failed, and {self.n_restarts} failures of collectors are more than collectors.max_restarts = "
            raise self._error(failure, number, where, f"{why}{self._most} allows") from failure.exception
        warnings.warn(
            f"collector {failure.collector} ({where}) failed at its fragment {number:,} and is started again: "
            f"{failure.error}",
            stacklevel=2,
        )

    def _error(self, failure: Failure, number: int, where: str, what: str) -> CollectorError:
        details = f"\n{failure.details}" if failure.details else ""
        return CollectorError(
            f"collector {failure.collector} ({where}; seed {self._seed}, fragment {number:,}) {what}: "
            f"{failure.error}{details}"
        )
