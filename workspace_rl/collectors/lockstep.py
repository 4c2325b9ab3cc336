"""Collectors in rounds: which fragments are learned from when, and which weights made them, is fixed by numbers."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence

from workspace_rl.agent import Agent
from workspace_rl.collectors.driver import CollectorsStatus
from workspace_rl.collectors.faults import Faults
from workspace_rl.collectors.order import Delivery, EnvironmentsDifferError, Failure, History, Order
from workspace_rl.collectors.places.place import Place
from workspace_rl.collectors.recipe import CollectorRecipe
from workspace_rl.experience.fragment import Fragment
from workspace_rl.learning.state.packed_weights import PackedWeights
from workspace_rl.machine.interrupts import stop_if_requested

#: Seconds after which ctrl-C is looked for while collectors are waited for.
_SLICE = 0.2


class Lockstep:
    """Each collector collects one fragment in each round, and all are waited for.

    With `lag` 1 the next round is ordered before the learner learns from this one, so that both work at once: its
    weights are then one round older. A collector that is lost is made anew, brought to where it was, and ordered the
    same again; so nothing that is learned depends on time.
    """

    def __init__(
        self,
        place: Place,
        recipes: Sequence[CollectorRecipe],
        faults: Faults,
        *,
        policy: Agent,
        n_steps: int,
        random_steps: int,
        lag: int,
    ) -> None:
        """Drive collectors in `place`.

        Args:
            place: where they live.
            recipes: what each of them is built from.
            faults: counts failures.
            policy: whose weights they act with first.
            n_steps: steps of each environment in a fragment.
            random_steps: transitions of the run, in all, with random actions at the beginning.
            lag: rounds, 0 or 1.
        """
        self._place, self._recipes, self._n, self._faults = place, recipes, len(recipes), faults
        self._n_steps, self._random_steps, self._lag = n_steps, random_steps, lag
        self._policy, self._version = policy, 0
        self._weights: PackedWeights | None = None  # of the policy as it is now
        self._number = 0
        #: What is being collected, by collector.
        self._ordered: dict[int, Order] = {}
        #: Collectors that are new, and whose environments are to be brought to where they were.
        self._lost: set[int] = set()
        self._begin((0,))

    def start(self) -> None:
        """Start the collectors.

        Raises:
            CollectorError: there is no room for them, or the place cannot be reached.
        """
        self._place.start(self._recipes)

    def collect(self, step: int) -> list[Fragment]:
        """Return the fragments of the next round, in the order of collectors.

        Raises:
            CollectorError: collectors failed too often.
            Stopped: ctrl-C or SIGTERM has asked for the end.
        """
        if not self._ordered:
            self._order(step)
        if self._lag:  # while collectors are at work
            self._packed()
        fragments = [one.fragment() for one in self._delivered()]
        if self._lag:
            self._order(step + sum(one.n_transitions for one in fragments))
        return fragments

    def load_policy(self, learner_policy: Agent, version: int) -> None:
        """Act with the weights of `learner_policy` in the next round that is ordered."""
        self._policy, self._version, self._weights = learner_policy, version, None

    def renew(self, n_transitions: int, *, resumed: bool) -> None:
        """Begin new episodes; what is being collected belongs to the old ones, and is dropped."""
        if self._ordered:
            self._delivered()
        self._begin((n_transitions,))

    def status(self) -> CollectorsStatus:
        """Return how they are doing."""
        return CollectorsStatus(self._n, self._place.alive(), self._faults.n_restarts)

    def close(self) -> None:
        """End the collectors."""
        self._place.close()

    def _begin(self, environments: tuple[int, ...]) -> None:
        self._lost.clear()
        self._environments = [environments] * self._n
        self._histories = [History() for _ in range(self._n)]

    def _order(self, step: int) -> None:
        """Order a round."""
        weights = self._packed()
        for collector in range(self._n):
            self._submit(
                Order(
                    collector=collector,
                    number=self._number,
                    environments=self._environments[collector],
                    index=len(self._histories[collector].actions),
                    n_steps=self._n_steps,
                    step=step,
                    random=step < self._random_steps,
                    version=self._version,
                    weights=weights,
                )
            )
        self._number += 1

    def _packed(self) -> PackedWeights:
        """Return the policy's weights as they are now."""
        if self._weights is None:
            self._weights = PackedWeights.of(self._policy)
        return self._weights

    def _submit(self, order: Order) -> None:
        collector = order.collector
        if collector in self._lost:
            self._lost.discard(collector)
            order = dataclasses.replace(order, history=self._histories[collector])
        self._ordered[collector] = order
        self._place.submit(order)

    def _delivered(self) -> list[Delivery]:
        """Return what was ordered, once all of it is there."""
        deliveries: dict[int, Delivery] = {}
        while self._ordered:
            stop_if_requested()
            for one in self._place.wait(_SLICE):
                if isinstance(one, Failure):
                    self._lose(one)
                elif one.collector in self._ordered and one.number == self._ordered[one.collector].number:
                    del self._ordered[one.collector]
                    self._histories[one.collector].add(one)
                    deliveries[one.collector] = one
        return [deliveries[collector] for collector in sorted(deliveries)]

    def _lose(self, failure: Failure) -> None:
        """Start a collector anew; let it do again what it was doing, from where it was."""
        collector = failure.collector
        order = self._ordered.get(collector)
        if order is not None and isinstance(failure.exception, EnvironmentsDifferError):
            self._begin_anew(order, failure)
            return
        number = self._number if order is None else order.number
        self._faults.note(failure, number, self._place.where(collector))
        self._place.restart(collector)
        self._lost.add(collector)
        if order is not None:
            self._submit(order)

    def _begin_anew(self, order: Order, failure: Failure) -> None:
        """Let a collector whose environments cannot be brought to where they were begin new episodes."""
        collector = order.collector
        warnings.warn(
            f"collector {collector} ({self._place.where(collector)}) was lost, and its environments, made anew with "
            f"the same seeds and stepped by the same actions, do not repeat what they did ({failure.error}). It begins "
            "new episodes: the run goes on, but is not bit-identical to others.",
            stacklevel=2,
        )
        self._environments[collector] = (*order.environments[:1], order.number)
        self._histories[collector] = History()
        self._submit(dataclasses.replace(order, environments=self._environments[collector], index=0, history=None))
