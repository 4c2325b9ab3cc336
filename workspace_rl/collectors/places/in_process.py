"""Collectors in the process of the learner."""

from __future__ import annotations

from collections.abc import Sequence

from workspace_rl.collectors.order import Delivery, Failure, Order
from workspace_rl.collectors.recipe import CollectorRecipe
from workspace_rl.collectors.worker import CollectorWorker


class InProcess:
    """Collects when it is ordered to: the learner waits. Nothing can be lost here but what raises an exception."""

    def __init__(self) -> None:
        """There is no collector yet."""
        self._recipes: list[CollectorRecipe] = []
        self._workers: list[CollectorWorker] = []
        self._arrived: list[Delivery | Failure] = []

    def start(self, recipes: Sequence[CollectorRecipe]) -> None:
        """Make the collectors."""
        self._recipes = list(recipes)
        self._workers = [CollectorWorker(recipe) for recipe in recipes]

    def submit(self, order: Order) -> None:
        """Collect a fragment."""
        try:
            self._arrived.append(self._workers[order.collector].collect(order))
        except Exception as error:
            self._arrived.append(Failure.of(order.collector, error))

    def wait(self, timeout: float) -> list[Delivery | Failure]:
        """Return what was collected."""
        arrived, self._arrived = self._arrived, []
        return arrived

    def restart(self, collector: int) -> None:
        """Make a collector anew."""
        self._workers[collector].close()
        self._workers[collector] = CollectorWorker(self._recipes[collector])

    def where(self, collector: int) -> str:
        """Return that it is here."""
        return "in the learner's process"

    def alive(self) -> int:
        """Return how many collectors there are."""
        return len(self._workers)

    def close(self) -> None:
        """Close all environments."""
        for worker in self._workers:
            worker.close()
