"""What is asked of a place where collectors live, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from workspace_rl.collectors.order import Delivery, Failure, Order
from workspace_rl.collectors.recipe import CollectorRecipe


class Place(Protocol):
    """Runs collectors, each of which does what it is ordered in turn; what comes of it is fetched later."""

    def start(self, recipes: Sequence[CollectorRecipe]) -> None:
        """Start collectors by their recipes, whose numbers are 0, 1, 2 and so on.

        Raises:
            CollectorError: the place has no room for them, or cannot be reached.
        """

    def submit(self, order: Order) -> None:
        """Order a fragment, without waiting for it. Orders of one collector are done one after the other."""

    def wait(self, timeout: float) -> list[Delivery | Failure]:
        """Return what has arrived since; if there is nothing, wait for it, at most `timeout` seconds.

        Where that is more than 0, some of what has arrived may be left for the next call.

        A failure is told once for a collector that was lost, whatever it had been ordered, and once for each order
        that it could not do.
        """

    def restart(self, collector: int) -> None:
        """Start a collector anew by its recipe; what it was ordered, and has not delivered, is forgotten."""

    def where(self, collector: int) -> str:
        """Return where a collector lives, for messages: "process 4711", "node 10.0.0.3, process 4711"."""

    def alive(self) -> int:
        """Return how many collectors are alive."""

    def close(self) -> None:
        """End all collectors, and close their environments."""
