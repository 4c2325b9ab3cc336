"""Collectors that run freely, each at its own speed, as far as a limiter lets them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workspace_rl.agent import Agent
from workspace_rl.collectors.driver import CollectorsStatus
from workspace_rl.collectors.faults import Faults
from workspace_rl.collectors.order import Delivery, Failure, Order
from workspace_rl.collectors.places.place import Place
from workspace_rl.collectors.recipe import CollectorRecipe
from workspace_rl.collectors.stream import Stream
from workspace_rl.errors import CollectorError
from workspace_rl.experience.block_limiter import BlockLimiter
from workspace_rl.experience.fragment import Fragment
from workspace_rl.learning.state.packed_weights import PackedWeights
from workspace_rl.machine.interrupts import stop_if_requested

#: Fragments of a collector that may be on their way: while one is collected, the next one waits for it there.
_MOST_AHEAD = 2
#: Seconds after which ctrl-C is looked for while there is nothing to learn from.
_SLICE = 0.2
#: Fragments that may be thrown away one after the other for the age of their weights; at least so many of each.
_MOST_OLD, _MOST_OLD_EACH = 100, 10


class FreeRunning:
    """Orders fragments as far as the limiter allows, and hands on what has come, whoever it is from.

    Nobody is waited for, except for the first that comes while there is nothing to learn from. Each order has the
    newest weights. A collector that is lost is started again, in new environments; what it had handed over stays.
    """

    def __init__(
        self,
        place: Place,
        recipes: Sequence[CollectorRecipe],
        faults: Faults,
        limiter: BlockLimiter,
        *,
        policy: Agent,
        n_steps: int,
        random_steps: int,
        max_weights_age: int | None = None,
    ) -> None:
        """Drive collectors in `place`.

        Args:
            place: where they live.
            recipes: what each of them is built from.
            faults: counts failures.
            limiter: says how much may be ordered; it is that of the experience.
            policy: whose weights they act with first.
            n_steps: steps of each environment in a fragment.
            random_steps: transitions of the run, in all, with random actions at the beginning.
            max_weights_age: updates; fragments that older weights have made are thrown away.
        """
        self._place, self._recipes, self._n = place, recipes, len(recipes)
        self._faults, self._limiter = faults, limiter
        self._n_steps, self._random_steps, self._max_weights_age = n_steps, random_steps, max_weights_age
        self._policy, self._version = policy, 0
        self._weights: PackedWeights | None = None  # of the policy as it is now
        self._streams = [Stream() for _ in recipes]
        #: Whose turn it is to be ordered the next fragment.
        self._turn = 0
        self._n_fragments = self._n_too_old = self._n_too_old_in_a_row = 0

    def start(self) -> None:
        """Start the collectors.

        Raises:
            CollectorError: there is no room for them, or the place cannot be reached.
        """
        self._place.start(self._recipes)

    def collect(self, step: int) -> list[Fragment]:
        """Return what has come; if there is nothing to learn from either, wait for the first that comes.

        Raises:
            CollectorError: collectors failed too often, or all that comes was made by weights that are too old.
            RateLimiterError: the limiter allows neither to collect nor to learn.
            Stopped: ctrl-C or SIGTERM has asked for the end.
        """
        fragments = self._arrived(0.0) if self._limiter.ordered else []
        self._order(step + sum(one.n_transitions for one in fragments))
        while not fragments and not self._limiter.may_draw():
            self._limiter.require_a_way_on()
            stop_if_requested()
            fragments = self._arrived(_SLICE)
            self._order(step + sum(one.n_transitions for one in fragments))
        return fragments

    def load_policy(self, learner_policy: Agent, version: int) -> None:
        """Send the weights of `learner_policy` with each order from now on."""
        self._policy, self._version, self._weights = learner_policy, version, None

    def renew(self, n_transitions: int, *, resumed: bool) -> None:
        """Begin new episodes if the run is resumed; a checkpoint disturbs nobody."""
        if resumed:
            self._streams = [Stream((n_transitions,)) for _ in self._recipes]

    def status(self) -> CollectorsStatus:
        """Return how they are doing: also what has come and what was thrown away, and the limiter's state."""
        details: dict[str, float] = {"collectors/fragments": self._n_fragments, "collectors/discarded": self._n_too_old}
        details |= {f"limiter/{name}": value for name, value in self._limiter.status().items()}
        return CollectorsStatus(self._n, self._place.alive(), self._faults.n_restarts, details)

    def close(self) -> None:
        """End the collectors."""
        self._place.close()

    # ---- ordering -------------------------------------------------------------------------------------------------

    def _order(self, step: int) -> None:
        """Order as much as may be: first of whom nothing is on its way, and in turn."""
        for n_ahead in range(_MOST_AHEAD):
            for collector in [(self._turn + k) % self._n for k in range(self._n)]:
                if len(self._streams[collector]) != n_ahead:
                    continue
                if not self._limiter.may_order():
                    return
                self._submit(collector, step)
                self._turn = (collector + 1) % self._n

    def _submit(self, collector: int, step: int) -> None:
        if self._weights is None:
            self._weights = PackedWeights.of(self._policy)
        stream = self._streams[collector]
        before = step + self._limiter.ordered  # what is on its way will most likely have come by then
        order = Order(
            collector=collector,
            number=stream.number,
            environments=stream.environments,
            index=stream.index,
            n_steps=self._n_steps,
            step=before,
            random=before < self._random_steps,
            version=self._version,
            weights=self._weights,
        )
        stream.order()
        self._limiter.order()
        self._place.submit(order)

    # ---- what comes -----------------------------------------------------------------------------------------------

    def _arrived(self, timeout: float) -> list[Fragment]:
        """Return what has come, after at most `timeout` seconds; of each collector in the order of numbers."""
        arrived = self._place.wait(timeout)
        lost: set[int] = set()
        for one in arrived:
            if isinstance(one, Delivery):
                self._streams[one.collector].accept(one)
            elif one.collector not in lost:  # it may have failed at the next order as well, before it was started again
                lost.add(one.collector)
                self._lose(one)
        collectors = dict.fromkeys(one.collector for one in arrived)
        return self._handed_on(one for collector in collectors for one in self._streams[collector].take())

    def _handed_on(self, deliveries: Iterable[Delivery]) -> list[Fragment]:
        """Return the fragments whose weights are young enough."""
        fragments = []
        for one in deliveries:
            if self._max_weights_age is not None and self._version - one.version > self._max_weights_age:
                self._throw_away(one, self._max_weights_age)
                continue
            self._n_too_old_in_a_row = 0
            self._n_fragments += 1
            self._limiter.arrive(one.n_transitions)
            fragments.append(one.fragment())
        return fragments

    def _throw_away(self, delivery: Delivery, most: int) -> None:
        self._limiter.lose()
        self._n_too_old += 1
        self._n_too_old_in_a_row += 1
        if self._n_too_old_in_a_row >= max(_MOST_OLD, _MOST_OLD_EACH * self._n):
            raise CollectorError(
                f"the last {self._n_too_old_in_a_row} fragments were all thrown away: their weights were more than "
                f"collectors.max_weights_age = {most} updates old when they came, {self._version - delivery.version} "
                "at last. Choose a larger max_weights_age, shorter fragments (algorithm.n_steps), fewer collectors, or "
                "a smaller collectors.error_buffer."
            )

    def _lose(self, failure: Failure) -> None:
        """Start a collector again, and release what it had not delivered."""
        collector = failure.collector
        stream = self._streams[collector]
        self._faults.note(failure, stream.n_delivered, self._place.where(collector))
        self._place.restart(collector)
        for _ in range(stream.lose()):
            self._limiter.lose()
