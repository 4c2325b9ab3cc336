"""Collectors in processes of their own on this machine."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from functools import partial

from workspace_rl.collectors.order import Delivery, Failure, Order
from workspace_rl.collectors.places.hosted import HANGS, HostedCollector
from workspace_rl.collectors.recipe import CollectorRecipe
from workspace_rl.errors import CollectorError, WorkerDiedError
from workspace_rl.learning.state.packed_weights import PackedWeights
from workspace_rl.machine.worker_process import WorkerProcess, close_all, wait_for

#: A process that says nothing is killed after twice the time that its environments may take, and so many seconds:
#: to begin, it imports what it needs, beside all others that begin.
PATIENCE = 120.0
#: Seconds between two looks for processes that say nothing.
_LOOK = 1.0


class LocalProcesses:
    """A process for each collector. What one raises, how it ends, and that it hangs, is told; the others go on."""

    def __init__(self) -> None:
        """There is no process yet."""
        self._workers: list[WorkerProcess] = []
        #: The weights that each process has.
        self._weights: list[PackedWeights | None] = []
        #: Collectors whose processes are gone, or are given up, until they are started again.
        self._lost: set[int] = set()
        self._limit: float | None = None
        self._look_at = 0.0

    def start(self, recipes: Sequence[CollectorRecipe]) -> None:
        """Start all processes, without waiting for them: they begin beside each other.

        Raises:
            WorkerError: a recipe cannot be sent to another process.
            CollectorError: this machine starts no more processes.
        """
        self._weights = [None] * len(recipes)
        workers = [WorkerProcess(partial(HostedCollector, one), f"collector {one.number}") for one in recipes]
        timeouts = [one.env_config.timeout for one in recipes]
        self._limit = None if None in timeouts else 2 * max(filter(None, timeouts)) + PATIENCE
        for worker in workers:
            self._workers.append(worker)
            self._begin(worker)

    def submit(self, order: Order) -> None:
        """Order a fragment; the weights are sent along if the process has others."""
        collector = order.collector
        if order.weights is not None and order.weights is self._weights[collector]:
            order = dataclasses.replace(order, weights=None)
        else:
            self._weights[collector] = order.weights
        self._workers[collector].call("collect", order)

    def wait(self, timeout: float) -> list[Delivery | Failure]:
        """Return what has arrived since; if there is nothing, wait for it, at most `timeout` seconds.

        Raises:
            Stopped: ctrl-C or SIGTERM has asked for the end.
        """
        owing = {worker: k for k, worker in enumerate(self._workers) if worker.n_calls and k not in self._lost}
        found = [self._result(owing[worker]) for worker in wait_for(list(owing), timeout)]
        if time.monotonic() >= self._look_at:
            found += [self._give_up(k) for k in owing.values() if self._is_silent(k)]
            self._look_at = time.monotonic() + _LOOK
        return found

    def restart(self, collector: int) -> None:
        """End a collector's process, however it is, and start another one."""
        self._weights[collector] = None
        self._lost.discard(collector)
        self._workers[collector].close(grace=0.0)
        self._begin(self._workers[collector])

    def where(self, collector: int) -> str:
        """Return the number of the collector's process."""
        return f"process {self._workers[collector].pid}"

    def alive(self) -> int:
        """Return how many processes are alive."""
        return sum(worker.is_alive for worker in self._workers)

    def close(self) -> None:
        """End all processes."""
        close_all(self._workers)

    def _begin(self, worker: WorkerProcess) -> None:
        try:
            worker.start()
        except OSError as error:
            self.close()
            raise CollectorError(
                f"no process can be started for {worker.name} of {len(self._workers)}: {error}. Ask for fewer "
                "collectors (collectors.n), or allow more processes and open files (ulimit -u, ulimit -n)."
            ) from error

    def _result(self, collector: int) -> Delivery | Failure:
        try:
            delivery: Delivery = self._workers[collector].result()
        except WorkerDiedError as error:
            self._lost.add(collector)
            text = str(error)
            if error.exit_code == HANGS:
                text = f"{self.where(collector)} has ended itself, since its environments hang; where stands above."
            return Failure(collector, text)
        except (Exception, SystemExit) as error:
            return Failure.of(collector, error)
        return delivery

    def _is_silent(self, collector: int) -> bool:
        if self._limit is None or collector in self._lost:
            return False
        return self._workers[collector].silent_for > self._limit

    def _give_up(self, collector: int) -> Failure:
        self._lost.add(collector)
        return Failure(
            collector,
            f"{self.where(collector)} was not heard of for {self._limit:g} seconds, though its environments may take "
            "no longer than gym_env.timeout for a step: it stands still, or hangs where Python cannot end it.",
        )
