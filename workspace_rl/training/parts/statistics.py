"""The running statistics of what was collected: each new frame is counted once, and on all ranks alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workspace_rl.experience.arrivals import Arrivals
from workspace_rl.experience.fragment import Fragment
from workspace_rl.learning.statistics import Moments, Statistics
from workspace_rl.ranks import Alone


class CollectedStatistics:
    """Lets statistics count the fragments of a run; without any it does nothing.

    Fragments of one collector go on from each other, for what runs through episodes, unless one begins anew or was
    lost; one that comes twice is counted once. Of several ranks each takes in what all have collected, in their order.
    Nothing is kept in checkpoints besides the statistics themselves, since a run goes on from them with new episodes.
    """

    def __init__(self, statistics: Sequence[Statistics], ranks: Alone) -> None:
        """Let `statistics` count what is put."""
        self._statistics, self._ranks = list(statistics), ranks
        # Who takes the fragments in warns of those that come twice.
        self._arrivals = Arrivals(warns=False)
        #: By collector, what each of the statistics goes on from.
        self._before: dict[int, list[Any]] = {}
        #: What is yet to be merged, by statistics.
        self._new: list[list[Moments]] = [[] for _ in self._statistics]

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._statistics)

    def put(self, fragment: Fragment) -> None:
        """Count a fragment, unless it has come before; `merge` takes it in."""
        if not self._statistics or self._arrivals.came_before(fragment):
            return
        before = self._before.get(fragment.collector) if self._arrivals.follows(fragment) else None
        n_repeated = 0 if before is None else fragment.n_repeated
        after = []
        for index, one in enumerate(self._statistics):
            moments, now = one.moments(fragment, before and before[index], n_repeated=n_repeated)
            self._new[index].append(moments)
            after.append(now)
        self._before[fragment.collector] = after
        self._arrivals.note(fragment)

    def merge(self, *, before_updates: bool) -> None:
        """Take in what was counted: of those statistics that are to know it in the updates on it, or of the others."""
        chosen = [index for index, one in enumerate(self._statistics) if one.known_to_updates is before_updates]
        if not chosen:
            return
        for of_rank in self._ranks.gather([[one.as_plain() for one in self._new[index]] for index in chosen]):
            for index, several in zip(chosen, of_rank, strict=True):
                for one in several:
                    self._statistics[index].merge(Moments.from_plain(one))
        for index in chosen:
            self._new[index] = []
