"""A place without collectors: what is ordered comes late, in another order, twice or never, as random numbers say."""

from collections import defaultdict

import numpy as np

from workspace_rl.collectors.order import Delivery, Failure

N_ENVS = 2


def delivery(order, n_transitions=None):
    """Return what a collector would deliver: each frame holds its fragment's number."""
    frames = {
        "x": np.full((order.n_steps, N_ENVS), order.number, np.float32),
        "env/done": np.zeros((order.n_steps, N_ENVS), bool),
    }
    return Delivery(
        collector=order.collector,
        number=order.number,
        version=order.version,
        frames=frames,
        n_transitions=order.n_steps * N_ENVS if n_transitions is None else n_transitions,
        begins_anew=order.index == 0,
        n_repeated=0,
        returns=np.zeros(0),
        lengths=np.zeros(0, np.float32),
        state={},
        actions=np.zeros((order.n_steps, N_ENVS, 1), np.float32),
        carried={},
        kept=b"",
        checksum=0,
    )


class ScriptedPlace:
    """Delivers what `arrivals` makes of the orders, by collector, that are on their way; by default all of them.

    It remembers all orders, and which collectors were started again.
    """

    def __init__(self, arrivals=None):
        self._arrivals = arrivals or (lambda place: place.all_deliveries())
        self.on_their_way = defaultdict(list)
        self.orders, self.restarts, self.waits = [], [], []
        self.n = self.n_closed = 0

    def start(self, recipes):
        self.n = len(recipes)

    def submit(self, order):
        self.orders.append(order)
        self.on_their_way[order.collector].append(order)

    def wait(self, timeout):
        self.waits.append(timeout)
        return self._arrivals(self)

    def restart(self, collector):
        self.restarts.append(collector)
        self.on_their_way[collector].clear()

    def where(self, collector):
        return f"bed {collector}"

    def alive(self):
        return self.n

    def close(self):
        self.n_closed += 1

    def deliver(self, collector, index=0):
        """Return a delivery of one of the orders of a collector, the oldest by default."""
        return delivery(self.on_their_way[collector].pop(index))

    def all_deliveries(self):
        """Return what all orders bring, and forget them."""
        return [self.deliver(k) for k in sorted(self.on_their_way) for _ in range(len(self.on_their_way[k]))]


class Unreliable:
    """Arrivals at random: late, in another order, doubled, shorter than ordered, with stale ones after a loss."""

    def __init__(self, rng, *, late=0.5, swapped=0.3, doubled=0.2, lost=0.05):
        self._rng, self._late, self._swapped, self._doubled, self._lost = rng, late, swapped, doubled, lost
        self._again = []
        #: Deliveries and losses that were told, in order; a delivery counts the first time.
        self.told = []

    def __call__(self, place):
        """Return what arrives now; something does, if anything was ordered."""
        rng, found = self._rng, []
        waiting = [k for k, orders in place.on_their_way.items() if orders]
        rng.shuffle(waiting)
        for k in waiting:
            if found and rng.random() < self._late:
                continue
            orders = place.on_their_way[k]
            if rng.random() < self._lost:
                self._again += [delivery(one) for one in orders]  # comes when nobody waits for it any more
                found.append(Failure(k, "process died"))
                self.told.append((k, None))
                continue
            one = delivery(orders.pop(-1 if rng.random() < self._swapped else 0), rng.randint(1, 8))
            self.told.append((k, one.number))
            found.append(one)
            if rng.random() < self._doubled:
                self._again.append(one)
        if rng.random() < 0.5:
            found += self._again
            self._again = []
        return found
