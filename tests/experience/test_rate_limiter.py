"""Reverb's SampleToInsertRatio: its decisions, what it refuses, and its counters."""

import json
import math
import random

import pytest

from workspace_rl.errors import ConfigError
from workspace_rl.experience import RateLimiter


class Reverb:
    """The formulas of Reverb's `rate_limiters.py` and `rate_limiter.cc`, as they stand there."""

    def __init__(self, samples_per_insert, min_size_to_sample, error_buffer):
        if isinstance(error_buffer, int | float):
            offset = samples_per_insert * min_size_to_sample
            min_diff = offset - error_buffer
            max_diff = offset + error_buffer
        else:
            min_diff, max_diff = error_buffer
        if samples_per_insert <= 0:
            raise ValueError
        if min_size_to_sample < 1:
            raise ValueError
        if max_diff - min_diff < 2 * max(1.0, samples_per_insert):
            raise ValueError
        self.warns = max_diff < samples_per_insert * min_size_to_sample
        if min_diff > samples_per_insert * min_size_to_sample:
            raise ValueError
        self.samples_per_insert, self.min_size_to_sample = samples_per_insert, min_size_to_sample
        self.min_diff, self.max_diff = min_diff, max_diff
        self.inserts = self.samples = self.deletes = 0

    def can_sample(self, num_samples):
        if self.inserts - self.deletes < self.min_size_to_sample:
            return False
        diff = self.inserts * self.samples_per_insert - self.samples - num_samples
        return diff >= self.min_diff

    def can_insert(self, num_inserts):
        if self.inserts + num_inserts - self.deletes <= self.min_size_to_sample:
            return True
        diff = (num_inserts + self.inserts) * self.samples_per_insert - self.samples
        return diff <= self.max_diff


def settings(rng):
    """Any settings, possible or not."""
    ratio = rng.choice([rng.uniform(0.01, 8), rng.randint(1, 256), 2.0 ** rng.randint(-4, 4), 0])
    min_size = rng.choice([1, rng.randint(1, 20), rng.randint(1, 1000), 0])
    offset = ratio * min_size
    number = rng.choice([rng.uniform(0, 4 * max(1, ratio)), offset * 0.1, rng.uniform(0, 2 * offset + 5)])
    low = rng.choice([-math.inf, 0, rng.uniform(-offset, offset), offset * rng.uniform(0.9, 1.2)])
    high = rng.choice([math.inf, offset * rng.uniform(0.5, 3), rng.uniform(-offset, offset + 9 * max(1, ratio))])
    return ratio, min_size, rng.choice([number, (low, high)])


def made(kind, given):
    try:
        return kind(*given)
    except (ValueError, ConfigError):
        return None


@pytest.mark.filterwarnings("ignore:error_buffer")
def test_it_decides_as_reverb_does_on_random_traces():
    rng = random.Random(0)
    refused = answers = 0
    yes = 0
    for _ in range(10_000):
        given = settings(rng)
        ours, theirs = made(RateLimiter, given), made(Reverb, given)
        assert (ours is None) == (theirs is None), given
        if ours is None:
            refused += 1
            continue
        most = rng.choice([1, 3, 64])
        for _ in range(40):
            n = rng.randint(1, most)
            found = [ours.can_sample(n), ours.can_insert(n)]
            assert found == [theirs.can_sample(n), theirs.can_insert(n)], (given, vars(theirs), n)
            answers, yes = answers + 2, yes + sum(found)
            action = rng.choice(["insert", "insert", "sample", "delete"])
            # Mostly what is allowed; whoever does not ask is counted as well.
            if action == "insert" and (found[1] or rng.random() < 0.05):
                ours.insert(n)
                theirs.inserts += n
            elif action == "sample" and (found[0] or rng.random() < 0.05):
                ours.sample(n)
                theirs.samples += n
            elif action == "delete" and n <= ours.size:
                ours.delete(n)
                theirs.deletes += n
        assert (ours.inserts, ours.samples, ours.deletes) == (theirs.inserts, theirs.samples, theirs.deletes)
    assert 500 < refused < 9000 and 0.2 < yes / answers < 0.8


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((0, 5, 9), "samples_per_insert: more than 0 expected, 0"),
        ((4, 8, 3.2), "error_buffer: at least 4 sampled items expected with samples_per_insert=4, 3.2 found"),
        ((0.5, 8, 0.9), "error_buffer: at least 1 sampled items"),
        ((1, 5, (6, 9)), "lower limit of at most samples_per_insert x min_size = 5 expected, 6 found"),
        ((1, 5, (0, math.nan)), "error_buffer: at least 1"),
        ((1, 0, 9), "min_size: at least 1 expected, 0"),
        ((1, 1.5, 9), "min_size: a whole number expected, 1.5"),
    ],
)
def test_impossible_limits_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        RateLimiter(*given)


def test_what_may_hold_inserts_up_is_warned_of():
    with pytest.warns(UserWarning, match=r"upper limit, 4, is below samples_per_insert x min_size = 10") as warned:
        RateLimiter(1, 10, (0, 4))
    assert warned[0].filename == __file__


def test_reverbs_other_limiters_are_cases_of_it():
    only_min_size = RateLimiter(1, 3)
    assert only_min_size.can_insert(10**9) and not only_min_size.can_sample()
    only_min_size.insert(3)
    assert only_min_size.can_sample(10**9)
    queue = RateLimiter(1, 1, (0, 4))  # of four items, each sampled once
    queue.insert(4)
    assert not queue.can_insert() and queue.can_sample(4) and not queue.can_sample(5)
    queue.sample(1)
    assert queue.can_insert(1) and not queue.can_insert(2)


def test_deletes_count_for_the_size_alone():
    limiter = RateLimiter(2, 10, 8)
    limiter.insert(10)
    limiter.delete(1)
    assert limiter.size == 9 and not limiter.can_sample()
    limiter.insert(1)
    assert limiter.can_sample(10) and not limiter.can_sample(11)  # 22 - n >= 20 - 8


def test_its_counters_are_taken_up():
    one, other = RateLimiter(2, 10, 8), RateLimiter(2, 10, 30)
    one.insert(50)
    one.sample(81)
    one.delete(4)
    other.restore(json.loads(json.dumps(one.describe())))
    assert (other.inserts, other.samples, other.deletes) == (50, 81, 4)


def test_another_ratio_counts_from_where_it_begins():
    one, other = RateLimiter(2, 10, 8), RateLimiter(8, 10, 20)
    one.insert(50)
    one.sample(81)
    other.restore(one.describe())
    assert other.samples == (50 - 10) * 8  # in the middle between both limits
    assert other.can_sample(20) and not other.can_sample(21)
    fresh = RateLimiter(8, 100, 20)
    fresh.restore(one.describe())
    assert fresh.samples == 0
