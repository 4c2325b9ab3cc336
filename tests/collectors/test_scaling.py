"""What many collectors can give, and what is said where they cannot pay."""

import dataclasses

import pytest

from workspace_rl.collectors.scaling import Measured, Scaling, advice_on_blocks

#: Blocks of 64 steps of Pendulum, one update in 8 steps.
PENDULUM = Scaling(steps=64, collecting=0.012, learning=0.010)


def test_useful_collectors_are_those_of_the_formula():
    """updates/s x batch / (samples per insert x steps/s of a collector), of a learner that does nothing but updates."""
    updates_per_fragment, update, batch, steps, collecting = 8, 0.003, 256, 64, 0.012
    samples_per_insert = updates_per_fragment * batch / steps
    expected = (1 / update) * batch / (samples_per_insert * steps / collecting)
    assert Scaling(steps, collecting, updates_per_fragment * update).useful == pytest.approx(expected)


@pytest.mark.parametrize(
    ("parallel", "overlapping", "n", "seconds"),
    [
        (True, True, 1, 0.012),  # the collector is slower
        (True, True, 2, 0.020),  # the learner is
        (True, False, 1, 0.022),  # one after the other
        (True, False, 2, 0.032),
        (False, False, 2, 0.044),  # collectors, too
    ],
)
def test_steps_per_second_are_those_of_a_round(parallel, overlapping, n, seconds):
    scaling = dataclasses.replace(PENDULUM, parallel=parallel, overlapping=overlapping)
    assert scaling.steps_per_second(n) == pytest.approx(n * 64 / seconds)
    assert scaling.steps_per_second(10_000) <= scaling.limit * (1 + 1e-9)
    assert scaling.steps_per_second(10_000) >= 0.99 * scaling.limit


def measured(n=1, *, handling=0.0005, busy=0.9, processors=0, **changes):
    return Measured(n, dataclasses.replace(PENDULUM, **changes), handling, busy, processors)


def test_the_estimate_has_the_numbers():
    assert measured(2).estimate() == (
        "collectors: a fragment of 64 steps takes a collector 12 ms, and the learner 10 ms with its updates: it can "
        "use about 1.2. 2 give about 6,400 steps/s; the learner's limit is 6,400."
    )


@pytest.mark.parametrize("n", [1, 50])
def test_nothing_is_said_where_more_collectors_pay(n):
    assert measured(n, collecting=2.0, learning=0.04, handling=0.001).advice() == []


def test_more_collectors_than_the_learner_can_use_are_told():
    (text,) = measured(8).advice()
    assert "8 collectors are more than the learner can use, about 1.2" in text
    assert "collectors.n=1 is about as fast" in text and "updates_per_collect" in text
    assert measured(1, learning=1.0).advice() == []  # one cannot be too many


def test_small_blocks_are_told():
    (text,) = measured(4, steps=4, collecting=0.004, learning=0.0012, handling=0.001).advice()
    assert "blocks of 4 steps are too small for 4 collectors" in text and "100% of the learner's time" in text
    assert measured(4, collecting=0.04, learning=0.0012, handling=0.001).advice() == []


def test_busy_simulators_on_few_processors_are_told_and_sleeping_ones_are_not():
    slow = {"collecting": 1.0, "learning": 0.01}
    (text,) = measured(8, processors=2, busy=0.25, **slow).advice()  # eight that share two
    assert "8 collectors share 2 processors" in text and "collectors.n=2 is about as fast" in text
    assert measured(8, processors=2, busy=0.02, **slow).advice() == []
    assert measured(2, processors=2, busy=1.0, **slow).advice() == []
    assert measured(8, processors=0, busy=1.0, **slow).advice() == []  # a cluster's are not known


def test_in_the_learners_process_there_is_nothing_to_advise():
    assert measured(8, parallel=False, overlapping=False).advice() == []


def test_blocks_of_few_steps_are_told_before_anything_is_measured():
    assert advice_on_blocks(8, 1) is None
    assert "blocks of 4 steps" in advice_on_blocks(4, 8)
    assert "algorithm.n_steps=8 algorithm.updates_per_collect=16 sends the same" in advice_on_blocks(4, 8)
    assert "blocks of 1 step (" in advice_on_blocks(1, 0.5) and "updates_per_collect=4 " in advice_on_blocks(1, 0.5)
    assert "algorithm.n_steps=9 sends the same" in advice_on_blocks(3, None)
