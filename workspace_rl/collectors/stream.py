"""What one collector of free mode was ordered, and what has come of it."""

from __future__ import annotations

from collections.abc import Iterator

from workspace_rl.collectors.order import Delivery


class Stream:
    """The fragments of one collector by their numbers: each is handed on once, and none before an earlier one."""

    def __init__(self, environments: tuple[int, ...] = (0,)) -> None:
        """Begin with the environments of these numbers."""
        #: The number of the next fragment.
        self.number = 0
        #: How many fragments have come.
        self.n_delivered = 0
        #: Which environments act, and how many fragments were ordered of them.
        self.environments, self.index = environments, 0
        self._on_their_way: set[int] = set()
        self._held: dict[int, Delivery] = {}

    def __len__(self) -> int:
        """Return how many fragments were ordered and not handed on."""
        return len(self._on_their_way) + len(self._held)

    def order(self) -> None:
        """Count the next fragment as on its way."""
        self._on_their_way.add(self.number)
        self.number += 1
        self.index += 1

    def accept(self, delivery: Delivery) -> None:
        """Take what has come, unless it has come before, or was given up."""
        if delivery.number in self._on_their_way:
            self._on_their_way.discard(delivery.number)
            self._held[delivery.number] = delivery
            self.n_delivered += 1

    def take(self) -> Iterator[Delivery]:
        """Hand on what has come and follows nothing that is still on its way, in the order of numbers."""
        first_missing = min(self._on_their_way, default=self.number)
        for number in sorted(number for number in self._held if number < first_missing):
            yield self._held.pop(number)

    def lose(self) -> int:
        """Give up what is on its way, and begin new environments; return how many fragments that are.

        The new ones have seeds of their own, derived from the number of the next fragment.
        """
        n_lost = len(self._on_their_way)
        self._on_their_way.clear()
        self.environments, self.index = (*self.environments[:1], self.number), 0
        return n_lost
