"""Collectors as actors of Ray: on this machine, or on the nodes of a cluster."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import cloudpickle
import numpy as np

from workspace_rl.collectors.order import Delivery, Failure, Order
from workspace_rl.collectors.places.hosted import HostedCollector
from workspace_rl.collectors.places.ray_cluster import RayCluster
from workspace_rl.collectors.recipe import CollectorRecipe
from workspace_rl.errors import CollectorError
from workspace_rl.learning.state.packed_weights import PackedWeights
from workspace_rl.machine.interrupts import stop_if_requested
from workspace_rl.machine.worker_loop import apply_settings
from workspace_rl.machine.worker_process import sendable, torch_settings

#: Seconds in which a node has to find room for a collector, and to start a process for it.
_BEGIN, _BEGIN_EACH = 60.0, 5.0
#: Seconds after which a collector is given up, beyond twice the time that its environments may take for a step and
#: so many times the longest fragment of all collectors: a watch in its process is there before.
PATIENCE, _TIMES = 600.0, 20
#: Seconds that collectors get to close their environments.
_GRACE = 2.0
#: Bytes up to which weights go along with each order: those in the object store are asked of further processes, which
#: takes milliseconds. Ray itself sends up to 100 kB of what a call is given.
_SMALL = 65_536
#: Seconds after which ctrl-C is looked for.
_SLICE = 0.2


class CollectorActor:
    """What lives in the cluster. It builds everything when a fragment is first ordered, so that errors can be told."""

    def __init__(self, recipe: bytes) -> None:
        """Nothing is built yet."""
        self._recipe = recipe
        self._collector: HostedCollector | None = None

    def here(self) -> tuple[str, int]:
        """Return the name of the machine and the number of the process."""
        return platform.node(), os.getpid()

    def collect(self, order: Order, weights: PackedWeights) -> Delivery | Failure:
        """Collect what is ordered, with these weights."""
        try:
            if self._collector is None:
                settings, recipe = cloudpickle.loads(self._recipe)
                apply_settings(settings)
                self._collector = HostedCollector(recipe)
            return self._collector.collect(dataclasses.replace(order, weights=weights))
        except (Exception, SystemExit) as error:
            return _sendable(Failure.of(order.collector, error))

    def close(self) -> None:
        """Close the environments."""
        if self._collector is not None:
            self._collector.close()


class _Handle:
    """An actor, as the learner sees it."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        #: Ray would make it anew at each look at the actor's attribute.
        self.collect = actor.collect
        self.here = actor.here.remote()
        self.at: tuple[str, int] | None = None
        self.is_lost = False
        #: What was ordered, and has not been delivered: references of results, and how many fragments it takes to get
        #: there, with those from which environments are rebuilt.
        self.ordered: deque[tuple[Any, int]] = deque()
        #: When it was last heard of, or was ordered something after it had done all.
        self.since = time.monotonic()


class RayActors:
    """An actor for each collector.

    The learner drives: what is ordered are calls of an actor's one method, which Ray does one after the other. Weights
    of some size are put into the object store once, whoever acts with them. Ray itself starts no actor again: it would
    have lost where its environments were.
    """

    def __init__(self, address: str | None, cpus_each: float) -> None:
        """Say where.

        Args:
            address: of the cluster, see `RayCluster`.
            cpus_each: processors that are reserved for each collector.
        """
        self._cluster = RayCluster(address)
        self._cpus_each = cpus_each
        #: Seconds after which a collector that has not delivered is given up, and the longest that a fragment took.
        self._patience: float | None = None
        self._longest = 0.0
        self._recipes: list[Any] = []
        self._handles: list[_Handle] = []
        self._weights: tuple[PackedWeights, Any] | None = None

    def start(self, recipes: Sequence[CollectorRecipe]) -> None:
        """Start the actors, and wait for their processes.

        Raises:
            CollectorError: the cluster cannot be reached, or has no room for them.
            WorkerError: a recipe cannot be sent to another process.
            MissingDependencyError: Ray is not installed.
            Stopped: ctrl-C or SIGTERM has asked for the end.
        """
        sent = [sendable((torch_settings(), one), f"the recipe of collector {one.number}") for one in recipes]
        self._cluster.start_or_join(len(recipes) * self._cpus_each)
        try:
            self._cluster.require_room(len(recipes), self._cpus_each)
            timeouts = [one.env_config.timeout for one in recipes]
            self._patience = None if None in timeouts else 2 * max(filter(None, timeouts)) + PATIENCE
            # References are kept: actors that are started again need them.
            self._recipes = [self._ray.put(one) for one in sent]
            self._handles = [self._begin(collector) for collector in range(len(recipes))]
            self._wait_for_all()
        except BaseException:
            self.close()
            raise

    def submit(self, order: Order) -> None:
        """Order a fragment."""
        weights = order.weights
        if weights is not None and (self._weights is None or self._weights[0] is not weights):
            self._weights = weights, weights if weights.data.nbytes <= _SMALL else self._ray.put(weights)
        sent = None if self._weights is None else self._weights[1]
        handle = self._handles[order.collector]
        if not handle.ordered:
            handle.since = time.monotonic()
        result = handle.collect.remote(dataclasses.replace(order, weights=None), sent)
        handle.ordered.append((result, 1 if order.history is None else 1 + len(order.history.actions)))

    def wait(self, timeout: float) -> list[Delivery | Failure]:
        """Return what has arrived since; with a `timeout`, in seconds, the first of it, which is waited for."""
        waiting = {
            handle.ordered[0][0]: collector
            for collector, handle in enumerate(self._handles)
            if handle.ordered and not handle.is_lost
        }
        if not waiting:
            return []
        # Each call costs the learner a tenth of what a fragment does.
        at_most = 1 if timeout else len(waiting)
        found, _ = self._ray.wait(list(waiting), num_returns=at_most, timeout=timeout)
        arrived = [self._take(waiting.pop(result)) for result in found]
        if len(found) < at_most:  # so that none of the others has arrived
            arrived += self._given_up(waiting.values())
        return arrived

    def restart(self, collector: int) -> None:
        """Start a collector anew, in a new process."""
        self._ray.kill(self._handles[collector].actor, no_restart=True)
        self._handles[collector] = self._begin(collector)

    def where(self, collector: int) -> str:
        """Return the node and the process of a collector."""
        handle = self._handles[collector]
        at = self._at(handle)
        return "on Ray, without a process so far" if at is None else f"node {at[0]}, process {at[1]}"

    def alive(self) -> int:
        """Return how many collectors are alive, as far as is known."""
        return sum(not handle.is_lost for handle in self._handles)

    def close(self) -> None:
        """End all collectors; disconnect, or end the Ray that was started."""
        try:
            if self._ray is not None and self._ray.is_initialized():
                closed = [handle.actor.close.remote() for handle in self._handles if not handle.is_lost]
                if closed:
                    self._ray.wait(closed, num_returns=len(closed), timeout=_GRACE)
                for handle in self._handles:
                    self._ray.kill(handle.actor, no_restart=True)
        finally:
            self._handles, self._recipes, self._weights = [], [], None
            self._cluster.close()

    @property
    def _ray(self) -> Any:
        return self._cluster.ray

    def _begin(self, collector: int) -> _Handle:
        remote = self._ray.remote(
            num_cpus=self._cpus_each,
            max_restarts=0,
            max_task_retries=0,
            enable_task_events=False,  # single fragments are of no interest in Ray's dashboard, and told one by one
            scheduling_strategy="SPREAD",  # a node that leaves takes few of them along
            # Modules of the user's are found where this program finds them, on machines that have them there.
            runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}},
        )
        return _Handle(remote(CollectorActor).remote(self._recipes[collector]))

    def _wait_for_all(self) -> None:
        deadline = time.monotonic() + _BEGIN + _BEGIN_EACH * len(self._handles)
        missing = [handle.here for handle in self._handles]
        while missing:
            stop_if_requested()
            _, missing = self._ray.wait(missing, num_returns=len(missing), timeout=_SLICE)
            if missing and time.monotonic() > deadline:
                raise CollectorError(
                    f"{len(missing)} of {len(self._handles)} collectors have found no room in the Ray cluster: "
                    f"{self._cluster.free()}, each collector reserves {self._cpus_each:g} (collectors.cpus_each)."
                )
        for collector in range(len(self._handles)):
            self.where(collector)

    def _at(self, handle: _Handle) -> tuple[str, int] | None:
        if handle.at is None and not handle.is_lost and self._ray.wait([handle.here], timeout=0)[0]:
            try:
                handle.at = self._ray.get(handle.here)
            except self._ray.exceptions.RayError:
                return None
        return handle.at

    def _take(self, collector: int) -> Delivery | Failure:
        """Return what a collector has delivered."""
        handle, errors = self._handles[collector], self._ray.exceptions
        result, n_fragments = handle.ordered.popleft()
        since, handle.since = handle.since, time.monotonic()
        try:
            found: Delivery | Failure = self._ray.get(result)
        except errors.RayTaskError as error:
            # Of Ray in the actor: what was ordered, or what is to be delivered, cannot be sent.
            return Failure(collector, f"{type(error.cause).__name__}: {error.cause}", str(error), error.cause)
        except errors.RayError as error:
            return self._lose(collector, _in_one_line(error), str(error))
        if isinstance(found, Delivery):
            # What is kept longer than the fragment must not keep it in the object store.
            found.actions = found.actions.copy()
            found.carried = {name: np.array(value) for name, value in found.carried.items()}
            self._longest = max(self._longest, (handle.since - since) / n_fragments)
        return found

    def _lose(self, collector: int, error: str, details: str = "") -> Failure:
        handle = self._handles[collector]
        at = self._at(handle)
        handle.is_lost = True
        handle.ordered.clear()
        return Failure(collector, error, "\n".join(filter(None, (details, at and self._cluster.last_words(at[1])))))

    def _given_up(self, collectors: Iterable[int]) -> list[Failure]:
        """Return the failures of those who have not been heard of for too long."""
        failures, now = [], time.monotonic()
        for collector in collectors:
            handle = self._handles[collector]
            silent = now - handle.since
            if silent > _BEGIN and self._at(handle) is None:
                failures.append(self._lose(collector, f"no node has room for it: {self._cluster.free()}"))
            elif self._patience and silent > self._patience + _TIMES * self._longest * handle.ordered[0][1]:
                why = (
                    f"it has delivered nothing for {silent:.0f} seconds: it stands still, or hangs where Python cannot "
                    "end it. A larger gym_env.timeout, or null, gives it more time."
                )
                failures.append(self._lose(collector, why))
        return failures


def _sendable(failure: Failure) -> Failure:
    """Return `failure` with an exception that can be read where it arrives."""
    try:
        cloudpickle.loads(cloudpickle.dumps(failure.exception))
    except Exception:  # whatever exceptions of the user's own raise then
        return dataclasses.replace(failure, exception=CollectorError(failure.error))
    return failure


def _in_one_line(error: Exception) -> str:
    """Return what Ray says of a collector that was lost, without its guesses at reasons."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    detail = re.search(r"Worker exit detail: (.*?)(?: Some common causes|$)", lines[-1] if lines else "")
    return f"{type(error).__name__}: {detail[1] if detail else ' '.join(lines[-1:])}"
