"""The frames of one source, in order, wherever they lie in a ring."""

from __future__ import annotations

import numpy as np

Ints = np.ndarray


class Line:
    """The frames of one source, counted from its first one: its *times*, B environments at each.

    Rows of a ring that repeat frames (see `Blocks`) take the place of those that held them before.
    """

    def __init__(self, batch_size: int) -> None:
        #: The time of the newest frame; -1 before the first one.
        self.newest = -1
        #: The time at which the running episode began, `[B]`; that of the next frame where none runs.
        self.begun = np.zeros(batch_size, np.int64)
        #: The times at which the episodes of the newest frames began, `[n, B]`: of those that may be repeated.
        self.begun_of_newest = np.empty((0, batch_size), np.int64)
        self._rows = np.empty(64, np.int64)
        self._first = 0  # the time of the first of them
        self._head = 0  # index of the oldest row that is stored

    @property
    def oldest(self) -> int:
        """The time of the oldest frame that is stored."""
        return self._first + self._head

    def append(self, rows: Ints) -> None:
        """Add the rows of the next frames."""
        n_kept = self.newest + 1 - self._first
        if n_kept + len(rows) > len(self._rows):
            kept = self._rows[self._head : n_kept].copy()
            self._first, self._head, n_kept = self._first + self._head, 0, len(kept)
            self._rows = np.empty(max(64, 2 * (n_kept + len(rows))), np.int64)
            self._rows[:n_kept] = kept
        self._rows[n_kept : n_kept + len(rows)] = rows
        self.newest += len(rows)

    def repeat(self, rows: Ints) -> range:
        """Note that the newest frames lie in these rows now; return their times."""
        stop = self.newest + 1 - self._first
        self._rows[stop - len(rows) : stop] = rows
        self._head = min(self._head, stop - len(rows))
        return range(self.newest + 1 - len(rows), self.newest + 1)

    def forget_before(self, row: int) -> None:
        """Drop the frames whose rows lie before `row`."""
        stop = self.newest + 1 - self._first
        self._head += int(self._rows[self._head : stop].searchsorted(row))

    def rows_at(self, times: Ints) -> Ints:
        """Return the rows of the frames at these times."""
        found: Ints = self._rows[times - self._first]
        return found

    def rows_between(self, first: int, last: int) -> Ints:
        """Return the rows of the frames from the time `first` to `last` (inclusive) that are stored."""
        return self._rows[max(first - self._first, self._head) : last + 1 - self._first]

    def take_over(self, times: Ints, rows: Ints) -> None:
        """Begin with frames at these times, in rows that are in order: of each frame the last one counts."""
        self._first, self._head, self.newest = int(times.min()), 0, int(times.max())
        self._rows = np.empty(2 * (self.newest + 1 - self._first), np.int64)
        self._rows[times - self._first] = rows
