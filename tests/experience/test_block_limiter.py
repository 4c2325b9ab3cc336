"""A limiter for a learner that orders blocks: what is on its way, and that nobody waits for ever."""

import random
from types import SimpleNamespace

import pytest

from workspace_rl.errors import ConfigError, RateLimiterError
from workspace_rl.experience import BlockLimiter, RateLimiter


def limiter(n=1, **changes):
    options = {"block": 8, "batch": 16, "capacity": 1000, "min_size": 20, "samples_per_insert": 2.0}
    return BlockLimiter.for_collectors(n, **options | changes)


def blocks_that_may_be_ordered(found):
    n = 0
    while found.may_order() and n < 100:
        found.order()
        n += 1
    return n


def test_what_is_on_its_way_counts_as_inserted_until_it_comes_or_is_lost():
    one = limiter(error_buffer=16)
    one.stocked = True
    assert blocks_that_may_be_ordered(one) == 3  # 24 transitions; the third while the size is below 20
    one.lose()
    assert one.ordered == 16 and blocks_that_may_be_ordered(one) == 1
    for _ in range(3):
        one.arrive(8)
    assert (one.ordered, one.limiter.inserts) == (0, 24) and not one.may_order()  # 32 x 2 > 20 x 2 + 16
    assert one.may_draw()  # 48 - 16 >= 40 - 16
    one.draw()
    assert not one.may_draw() and one.may_order()


def test_nothing_is_drawn_and_blocks_are_ordered_while_there_is_no_window():
    one = limiter(error_buffer=16)
    for _ in range(4):
        assert one.may_order() and not one.may_draw()
        one.order()
        one.arrive(8)
    one.stocked = True
    assert not one.may_order() and one.may_draw()


def test_what_comes_shorter_than_ordered_is_counted_as_it_is():
    one = limiter()
    one.order()
    one.arrive(5)
    assert (one.ordered, one.limiter.inserts) == (0, 5)


def test_what_is_overwritten_counts_as_deleted():
    one = limiter(capacity=24)
    for _ in range(5):
        one.order()
        one.arrive(8)
    assert (one.limiter.inserts, one.limiter.deletes, one.limiter.size) == (40, 16, 24)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"error_buffer": 15.9}, "at least 16 sampled items expected, half of .* = 2 x 8 . 16, 15.9 found.*Leave it"),
        ({"min_size": 1001}, "learning_starts: at most the 1000 transitions .* 1001 found.*larger buffer_size"),
        ({"samples_per_insert": 40, "block": 1, "batch": 1, "error_buffer": 30}, "at least 40 sampled"),
    ],
)
def test_what_would_wait_for_ever_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        limiter(**changes)


def test_reverbs_own_rule_would_wait_for_ever_at_the_block_that_steps_over_min_size():
    plain = RateLimiter(4, 10, 16.5)
    plain.insert(8)
    assert not plain.can_sample() and not plain.can_insert(8)
    one = limiter(samples_per_insert=4, min_size=10, batch=1, error_buffer=16.5)
    one.stocked = True
    one.order()
    one.arrive(8)
    assert one.may_order()


def test_a_limiter_that_can_never_be_satisfied_says_so():
    one = limiter()
    one.stocked = True
    one.require_a_way_on()
    one.order()
    one.arrive(8)
    one.limiter.min_size = 8
    one.limiter.max_diff, one.limiter.min_diff = 0, 100  # as no constructor lets them be
    with pytest.raises(RateLimiterError, match=r"never be satisfied: with 8 transitions inserted and 0 .*error_buffer"):
        one.require_a_way_on()
    one.order()
    one.require_a_way_on()  # something is on its way


# ---- simulated runs -----------------------------------------------------------------------------------------------


def drawn_settings(rng):
    block, batch = rng.choice([1, 2, 8, 64, 256, rng.randint(1, 300)]), rng.choice([1, 32, 256, rng.randint(1, 300)])
    ratio = rng.choice([batch / block, rng.uniform(0.01, 4) * batch / block, rng.randint(1, 64), 0.1, 1 / 3])
    return SimpleNamespace(
        n=rng.choice([1, 2, 4, 32]),
        block=block,
        batch=batch,
        ratio=ratio,
        capacity=rng.choice([block, 4 * block, 10**6, rng.randint(1, 2000)]),
        # Blocks may be shorter: each environment that is reset once gives a transition less.
        shortest=rng.choice([block, max(0, block // 2), 0]),
        lost=rng.choice([0, 0.02, 0.3]),
        late=rng.choice([0, 0.5, 0.95]),
        per_turn=rng.choice([1, 3]),
    )


def simulated(rng, one, error_buffer, n_turns, starving=None):
    """Run a learner and its collectors; return the limiter, and how often it waited."""
    pace = BlockLimiter.for_collectors(
        one.n,
        block=one.block,
        batch=one.batch,
        capacity=one.capacity,
        min_size=rng.choice([1, one.capacity, rng.randint(1, one.capacity)]),
        samples_per_insert=one.ratio,
        error_buffer=error_buffer,
    )
    in_flight = [0] * one.n
    for _ in range(n_turns):
        for collector in range(one.n):
            while in_flight[collector] < 2 and pace.may_order():
                pace.order()
                in_flight[collector] += 1
        pace.require_a_way_on()
        if starving is not None and not pace.may_draw():
            assert in_flight == [2] * one.n, starving
        waits = not pace.may_draw()
        for collector in rng.sample(range(one.n), one.n):
            # What a waiting learner gets at least is the first that comes.
            if in_flight[collector] and (waits or rng.random() > one.late):
                waits = False
                in_flight[collector] -= 1
                if rng.random() < one.lost:
                    pace.lose()
                else:
                    pace.arrive(rng.randint(one.shortest, one.block))
                    pace.stocked = pace.limiter.inserts > 1
        for _ in range(one.per_turn):
            if pace.may_draw():
                pace.draw()
        assert pace.ordered == one.block * sum(in_flight)
    return pace


@pytest.mark.parametrize("wider", [1, 1.5])
def test_nobody_waits_for_ever_at_the_narrowest_buffer_that_is_accepted(wider):
    rng = random.Random(f"narrow {wider}")
    for _ in range(2000):
        one = drawn_settings(rng)
        buffer = max(one.ratio * one.block / 2 + one.batch / 2, one.ratio, 1) * wider
        simulated(rng, one, buffer, 60)


def test_collectors_are_never_starved_by_the_default_buffer():
    rng = random.Random("default")
    for _ in range(2000):
        one = drawn_settings(rng)
        simulated(rng, one, None, 60, starving=vars(one))


@pytest.mark.parametrize("late", [0, 0.9])
def test_the_ratio_is_kept(late):
    rng = random.Random(5)
    one = SimpleNamespace(n=4, block=8, batch=32, ratio=3.7, capacity=500, shortest=6, lost=0.05, late=late, per_turn=3)
    pace = simulated(rng, one, None, 4000)
    status, count = pace.status(), pace.limiter
    assert count.inserts > 5000
    assert count.min_diff <= count.inserts * 3.7 - count.samples <= count.max_diff
    assert count.samples / count.inserts == pytest.approx(3.7, rel=0.02)
    assert status["may_sample"] >= 0 and status["ordered"] == pace.ordered


def test_counters_are_taken_up_and_what_was_on_its_way_is_not():
    one, other = limiter(), limiter()
    for _ in range(4):
        one.order()
    for _ in range(3):
        one.arrive(8)
    one.stocked = True
    one.draw()
    other.restore(one.describe(), stored=24, stocked=True)
    assert other.status() == one.status() | {"ordered": 0, "may_insert": one.status()["may_insert"] + 8}


def test_a_run_of_another_mode_goes_on_in_the_middle():
    one = limiter()
    one.restore(None, stored=300, stocked=True)
    assert one.limiter.size == 300 and one.limiter.samples == (300 - 20) * 2
    assert one.may_order() and one.may_draw()
