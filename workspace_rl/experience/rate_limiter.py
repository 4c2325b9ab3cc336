"""How much may be collected and how much learned of it, so that neither runs away from the other."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

from workspace_rl.basics.arguments import checked
from workspace_rl.errors import ConfigError


class RateLimiter:
    """Holds the number of sampled items for each inserted one near a ratio: Reverb's `SampleToInsertRatio`.

    It counts inserts i, samples s and deletes d. With `spi` samples per insert,

        may sample n:  i - d >= min_size  and  i spi - s - n >= min_diff
        may insert n:  i + n - d <= min_size  or  (i + n) spi - s <= max_diff

    An error buffer e is symmetric, min_diff = spi min_size - e and max_diff = spi min_size + e: learning may be about
    e items ahead or behind. Deletes count for the size alone; the ratio forgets nothing.
    (Cassirer et al., 2021, Reverb: A Framework For Experience Replay, section 2.3.)
    """

    @checked(least={"min_size": 1}, unless=("error_buffer",))
    def __init__(
        self, samples_per_insert: float, min_size: int, error_buffer: float | tuple[float, float] = math.inf
    ) -> None:
        """Begin with nothing inserted.

        Args:
            samples_per_insert: items sampled for each one inserted, in the long run.
            min_size: items that there must be before the first is sampled.
            error_buffer: e, in sampled items; or min_diff and max_diff themselves.

        Raises:
            ConfigError: with such limits, inserting and sampling could wait for each other for ever.
        """
        offset = samples_per_insert * min_size
        if not isinstance(error_buffer, tuple | list):
            error_buffer = (offset - error_buffer, offset + error_buffer)
        self.samples_per_insert, self.min_size = samples_per_insert, min_size
        self.min_diff, self.max_diff = map(float, error_buffer)
        #: Items inserted, sampled and deleted so far.
        self.inserts = self.samples = self.deletes = 0
        self._check(offset)

    def _check(self, offset: float) -> None:
        ratio, width = self.samples_per_insert, self.max_diff - self.min_diff
        if not ratio > 0:
            raise ConfigError(f"samples_per_insert: more than 0 expected, {ratio:g} found.")
        if not width >= 2 * max(1, ratio):  # NaN is neither
            raise ConfigError(
                f"error_buffer: at least {max(1, ratio):g} sampled items expected with samples_per_insert={ratio:g}, "
                f"{width / 2:g} found: the first insert or sample could be too much."
            )
        if self.min_diff > offset:
            raise ConfigError(
                f"error_buffer: a lower limit of at most samples_per_insert x min_size = {offset:g} expected, "
                f"{self.min_diff:g} found: nothing could ever be sampled."
            )
        if self.max_diff < offset:
            warnings.warn(
                f"error_buffer: its upper limit, {self.max_diff:g}, is below samples_per_insert x min_size = "
                f"{offset:g}: nothing more is inserted at min_size until much of it has been sampled.",
                stacklevel=4,  # the line that makes a limiter
            )

    @property
    def size(self) -> int:
        """Items that are inserted and not deleted."""
        return self.inserts - self.deletes

    def can_sample(self, n: int = 1) -> bool:
        """Return whether `n` items may be sampled."""
        diff = self.inserts * self.samples_per_insert - self.samples - n
        return self.inserts - self.deletes >= self.min_size and diff >= self.min_diff

    def can_insert(self, n: int = 1) -> bool:
        """Return whether `n` items may be inserted."""
        diff = (self.inserts + n) * self.samples_per_insert - self.samples
        return self.inserts + n - self.deletes <= self.min_size or diff <= self.max_diff

    def insert(self, n: int = 1) -> None:
        """Count `n` items that have been inserted."""
        self.inserts += n

    def sample(self, n: int = 1) -> None:
        """Count `n` items that have been sampled."""
        self.samples += n

    def delete(self, n: int = 1) -> None:
        """Count `n` items that have been deleted."""
        self.deletes += n

    def describe(self) -> dict[str, Any]:
        """Return the counters and what they were counted for, as plain data: what `restore` needs."""
        return {
            "samples_per_insert": self.samples_per_insert,
            "min_size": self.min_size,
            "inserts": self.inserts,
            "samples": self.samples,
            "deletes": self.deletes,
        }

    def restore(self, description: Mapping[str, Any]) -> None:
        """Go on from where another limiter was when it was described.

        If that one had another ratio, or another size to begin with, learning is neither ahead nor behind from now on:
        what was right by the other's measure is not made up for.
        """
        self.inserts, self.deletes = int(description["inserts"]), int(description["deletes"])
        self.samples = int(description["samples"])
        here = {"samples_per_insert": self.samples_per_insert, "min_size": self.min_size}
        if any(description.get(name) != value for name, value in here.items()):
            self.samples = round(max(0, self.inserts - self.min_size) * self.samples_per_insert)
