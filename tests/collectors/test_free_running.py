"""The driver of free mode, in a place that delivers as a script says."""

import contextlib
import random
import warnings
from collections import Counter

import pytest
import torch
from torch import nn

from tests.collectors.scripted_place import N_ENVS, ScriptedPlace, Unreliable
from workspace_rl.collectors.faults import Faults
from workspace_rl.collectors.free_running import FreeRunning
from workspace_rl.collectors.order import Failure
from workspace_rl.errors import CollectorError, RateLimiterError
from workspace_rl.experience import BlockLimiter
from workspace_rl.machine.interrupts import Stopped, StopRequest

N_STEPS = 4
BLOCK = N_STEPS * N_ENVS


def driver(arrivals=None, n=2, *, max_restarts=100, max_weights_age=None, random_steps=0, **limits):
    """Return collectors that run freely in a scripted place, the place, and the limiter."""
    options = {"batch": 8, "capacity": 10_000, "min_size": BLOCK, "samples_per_insert": 1.0}
    limiter = BlockLimiter.for_collectors(n, block=BLOCK, **options | limits)
    limiter.stocked = True
    place = ScriptedPlace(arrivals)
    collectors = FreeRunning(
        place,
        list(range(n)),
        Faults(max_restarts, seed=1),
        limiter,
        policy=nn.Linear(1, 1),
        n_steps=N_STEPS,
        random_steps=random_steps,
        max_weights_age=max_weights_age,
    )
    collectors.start()
    return collectors, place, limiter


@contextlib.contextmanager
def _quiet():
    """Let collectors fail without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "collector . .* failed at its fragment")
        yield


def draw_all(limiter):
    while limiter.may_draw():
        limiter.draw()


def test_two_fragments_of_each_collector_are_on_their_way_with_the_newest_weights():
    collectors, place, limiter = driver(lambda place: [place.deliver(1)])
    policy = nn.Linear(1, 1)
    (first,) = collectors.collect(0)
    assert (first.collector, first.number, first.n_transitions) == (1, 0, BLOCK)
    assert [(one.collector, one.number, one.version) for one in place.orders] == [
        (0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 2, 0)
    ]  # fmt: skip
    draw_all(limiter)
    collectors.load_policy(policy, 7)
    with torch.no_grad():
        policy.weight.fill_(3.0)
    collectors.collect(BLOCK)
    order = place.orders[-1]
    assert (order.collector, order.number, order.index, order.version) == (1, 3, 3, 7)
    there = nn.Linear(1, 1)
    order.weights.load_into(there)
    assert there.weight.item() == 3.0
    assert all(one.weights is place.orders[0].weights for one in place.orders[:5])  # packed once for all


def test_it_waits_only_if_there_is_nothing_to_learn_from():
    answers = iter([[], [], "deliver", [], []])

    def arrivals(place):
        answer = next(answers)
        return [place.deliver(0)] if answer == "deliver" else answer

    collectors, place, limiter = driver(arrivals)
    assert len(collectors.collect(0)) == 1 and place.waits == [0.2] * 3
    assert limiter.may_draw()
    assert collectors.collect(BLOCK) == [] and place.waits[3:] == [0.0]


def test_what_random_steps_and_schedules_are_told_counts_what_is_on_its_way():
    collectors, place, _ = driver(random_steps=20)
    collectors.collect(0)
    assert [one.step for one in place.orders[:4]] == [0, 8, 16, 24]
    assert [one.random for one in place.orders[:4]] == [True, True, True, False]


def test_ctrl_c_ends_a_wait():
    collectors, _, _ = driver(lambda place: [])
    with StopRequest() as stop, pytest.raises(Stopped):
        stop.requested = True
        collectors.collect(0)


@pytest.mark.parametrize("n", [1, 3, 8])
def test_nobody_is_starved_where_the_limiter_lets_few_be_on_their_way(n):
    collectors, place, limiter = driver(n=n, error_buffer=(BLOCK + 8) / 2)
    for _ in range(60):
        collectors.collect(limiter.limiter.inserts)
        draw_all(limiter)
    counts = Counter(one.collector for one in place.orders)
    assert max(counts.values()) - min(counts[k] for k in range(n)) <= 1


@pytest.mark.parametrize("slow", [None, 2])
def test_a_slow_collector_delays_nobody(slow):
    turns = iter(range(10**6))

    def arrivals(place):
        now = next(turns)
        return [place.deliver(k) for k in range(4) if place.on_their_way[k] and (k != slow or now % 100 == 99)]

    collectors, _, limiter = driver(arrivals, n=4)
    counts = Counter()
    for _ in range(100):
        counts.update(one.collector for one in collectors.collect(limiter.limiter.inserts))
        draw_all(limiter)
    others = {counts[k] for k in range(4) if k != slow}
    assert others == {100} and counts[2] == (1 if slow else 100)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("max_weights_age", [None, 3])
def test_no_fragment_is_lost_doubled_or_out_of_order_whatever_the_place_does(seed, max_weights_age):
    rng = random.Random(seed)
    n = rng.choice([1, 2, 5])
    arrivals = Unreliable(rng, late=rng.random(), lost=rng.choice([0, 0.05]))
    buffer = rng.choice([None, (BLOCK + 8) / 2, 60])
    collectors, place, limiter = driver(
        arrivals, n, max_restarts=10**6, max_weights_age=max_weights_age, error_buffer=buffer
    )
    came, versions, version = [], {}, 0
    for _ in range(80):
        known = len(place.orders)
        with _quiet():
            fragments = collectors.collect(limiter.limiter.inserts)
        assert {one.version for one in place.orders[known:]} <= {version}
        came += fragments
        for _ in range(rng.choice([0, 1, 4])):
            if limiter.may_draw():
                limiter.draw()
                version += 1
        collectors.load_policy(nn.Linear(1, 1), version)
        assert limiter.ordered == BLOCK * sum(len(stream) for stream in collectors._streams)
        assert all(len(stream) <= 2 for stream in collectors._streams)
    versions = {(one.collector, one.number): one.version for one in place.orders}
    handed_on = [(one.collector, one.number) for one in came]
    assert len(set(handed_on)) == len(handed_on)
    for k in range(n):
        numbers = [number for collector, number in handed_on if collector == k]
        assert numbers == sorted(numbers)
    assert all((one["x"] == one.number).all() and one.version == versions[one.collector, one.number] for one in came)
    assert limiter.limiter.inserts == sum(one.n_transitions for one in came)
    # Whatever was told while it was waited for was handed on, is held behind an earlier one, or was too old.
    delivered = {one for one in arrivals.told if one[1] is not None}
    held = {(k, number) for k, stream in enumerate(collectors._streams) for number in stream._held}
    too_old = delivered - set(handed_on) - held
    assert set(handed_on) <= delivered and len(too_old) == collectors.status().details["collectors/discarded"]
    assert max_weights_age is not None or not too_old
    # Seeds are never used again.
    seeds = [(one.collector, one.environments, one.index) for one in place.orders]
    assert len(set(seeds)) == len(seeds)
    assert collectors.status().restarts == len(place.restarts) == sum(number is None for _, number in arrivals.told)


def failing(times, *, exception=None):
    """Return arrivals by which collector 0 fails so often, and then delivers; others always deliver."""
    left = [times]

    def arrivals(place):
        if left[0] and place.on_their_way[0]:
            left[0] -= 1
            return [Failure(0, f"no {left[0]}", exception=exception), *(place.deliver(0) for _ in range(2))]
        return place.all_deliveries()

    return arrivals


def test_a_collector_that_fails_is_started_again_in_new_environments():
    collectors, place, limiter = driver(failing(1))
    with pytest.warns(UserWarning, match=r"collector 0 .bed 0. failed at its fragment 0 and is started again: no 0"):
        fragments = collectors.collect(0)
    # What it delivered after it had failed is of environments in disorder.
    assert [(one.collector, one.number) for one in fragments] == [(0, 2), (0, 3), (1, 0), (1, 1)]
    assert place.restarts == [0] and collectors.status().restarts == 1
    orders = [one for one in place.orders if one.collector == 0]
    assert [(one.number, one.environments, one.index) for one in orders[:4]] == [
        (0, (0,), 0), (1, (0,), 1), (2, (0, 2), 0), (3, (0, 2), 1)
    ]  # fmt: skip
    assert limiter.limiter.inserts == 4 * BLOCK


def test_two_orders_that_cannot_be_done_are_one_failure():
    def arrivals(place):
        if not place.restarts:
            return [Failure(0, "ValueError: x"), Failure(0, "ValueError: x")]
        return place.all_deliveries()

    collectors, place, _ = driver(arrivals, n=1)
    with pytest.warns(UserWarning, match="ValueError: x"):
        collectors.collect(0)
    assert place.restarts == [0]


def test_too_many_failures_end_the_run():
    collectors, _, _ = driver(failing(9), max_restarts=2)
    with pytest.raises(
        CollectorError, match=r"bed 0; seed 1, fragment 0. has failed, and 3 failures .*max_restarts = 2"
    ):
        with _quiet():
            collectors.collect(0)


def test_what_fails_in_the_same_way_before_it_has_delivered_anything_fails_for_ever():
    collectors, _, _ = driver(lambda place: [Failure(0, "ValueError: x", exception=ValueError("x"))])
    with pytest.raises(CollectorError, match="has failed twice in the same way: ValueError: x"):
        with _quiet():
            collectors.collect(0)


def test_what_weights_that_are_too_old_have_made_is_thrown_away_and_ordered_again():
    collectors, _, limiter = driver(lambda place: [place.deliver(0)], n=1, max_weights_age=2)
    collectors.collect(0)
    draw_all(limiter)
    collectors.load_policy(nn.Linear(1, 1), 3)
    (fragment,) = collectors.collect(BLOCK)  # numbers 1 and 2 were ordered with version 0
    assert (fragment.number, fragment.version) == (3, 3)
    details = collectors.status().details
    assert (details["collectors/fragments"], details["collectors/discarded"]) == (2, 2)
    assert (limiter.limiter.inserts, limiter.ordered) == (2 * BLOCK, 2 * BLOCK)
    collectors.load_policy(nn.Linear(1, 1), 5)
    draw_all(limiter)
    assert collectors.collect(2 * BLOCK)[0].version == 3  # just young enough


def test_if_all_that_comes_is_too_old_that_is_told():
    collectors, place, _ = driver(None, n=1, max_weights_age=5, min_size=10**6, capacity=10**6)
    version = [0]

    def arrivals(place):
        version[0] += 6
        collectors.load_policy(nn.Linear(1, 1), version[0])
        return place.all_deliveries()

    place._arrivals = arrivals
    with pytest.raises(CollectorError, match=r"last 100 fragments were all thrown away.*max_weights_age = 5.*n_steps"):
        collectors.collect(0)


def test_a_limiter_that_can_never_be_satisfied_is_told():
    collectors, _, limiter = driver()
    limiter.limiter.min_size, limiter.limiter.max_diff, limiter.limiter.min_diff = 0, -100, 100
    with pytest.raises(RateLimiterError, match="can never be satisfied"):
        collectors.collect(0)


def test_a_checkpoint_disturbs_nobody_and_a_resumed_run_begins_new_episodes():
    collectors, place, limiter = driver(n=1)
    collectors.collect(0)
    n_orders = len(place.orders)
    draw_all(limiter)
    collectors.renew(BLOCK, resumed=False)
    collectors.collect(BLOCK)
    assert place.orders[n_orders].environments == (0,) and place.orders[n_orders].number == n_orders
    again, place, _ = driver(n=1)
    again.renew(640, resumed=True)
    again.collect(640)
    assert (place.orders[0].environments, place.orders[0].index) == ((640,), 0)


def test_it_closes_its_place():
    collectors, place, _ = driver()
    collectors.close()
    assert place.n_closed == 1
