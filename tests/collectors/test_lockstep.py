"""Rounds in lockstep: nothing that is collected depends on what is lost on the way, and when."""

import random
import re

import pytest

from tests.collectors.rounds import recipe, rounds
from workspace_rl.collectors.order import Failure
from workspace_rl.collectors.places.in_process import InProcess
from workspace_rl.errors import CollectorError

LOST = "process 4711 ended by signal 9 (Killed)"


class Unreliable(InProcess):
    """Loses collectors: `losses` decides, for each order, what happens to it, and what to idle collectors beside it."""

    def __init__(self, losses):
        super().__init__()
        self.losses, self.restarted = losses, []

    def submit(self, order):
        loss = self.losses(order)
        if loss != "before":
            super().submit(order)
        if loss == "after":  # the environments have gone on, but nothing of it arrives
            self._arrived.pop()
        if loss:
            self.lose(order.collector)

    def lose(self, collector):
        self._arrived = [one for one in self._arrived if one.collector != collector]
        self._arrived.append(Failure(collector, LOST))

    def restart(self, collector):
        self.restarted.append(collector)
        super().restart(collector)


def started(place, n, **options):
    place.start([recipe(number, **options) for number in range(n)])
    return place


def losing(*numbers, how="before"):
    """Return losses at these orders, counted over all collectors; one that is ordered again counts anew."""
    count = iter(range(10**6))
    return lambda order: how if next(count) in numbers else None


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_rounds_are_the_same_whatever_is_lost(n, lag):
    expected = rounds(started(InProcess(), n), n, lag=lag)
    assert expected == rounds(started(InProcess(), n), n, lag=lag)
    assert [one[0] for one in expected[0]] == list(range(n)) and len(set(map(repr, expected[0]))) == n
    for seed in range(3):
        rng = random.Random(seed)
        place = started(Unreliable(lambda order, rng=rng: rng.choice([None, None, "before", "after"])), n)
        with pytest.warns(UserWarning, match="is started again: process 4711 ended by signal 9"):
            assert rounds(place, n, lag=lag) == expected
        assert place.restarted


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param(range(6, 9), id="all at once"),
        pytest.param((6, 9, 10, 11), id="again while it is rebuilt"),
        pytest.param((12, 13), id="the last round before renewal, in flight with a lag"),
        pytest.param((0, 3), id="the first round"),
    ],
)
def test_losses_of_every_kind_are_made_up_for(numbers, how, lag):
    expected = rounds(started(InProcess(), 3), 3, lag=lag)
    place = started(Unreliable(losing(*numbers, how=how)), 3)
    with pytest.warns(UserWarning, match="started again"):
        assert rounds(place, 3, lag=lag) == expected
    assert len(place.restarted) == len(numbers)


@pytest.mark.parametrize("lag", [0, 1])
def test_one_that_is_lost_while_it_is_idle_is_there_again_in_the_next_round(lag):
    expected = rounds(started(InProcess(), 2), 2, lag=lag)
    place = started(Unreliable(lambda order: None), 2)

    def lose(driver, index):
        if index == 3:
            place.lose(1)

    with pytest.warns(UserWarning, match="started again"):
        assert rounds(place, 2, lag=lag, before_round=lose) == expected
    assert place.restarted == [1]


def test_environments_that_do_not_repeat_what_they_did_are_named_and_begin_new_episodes():
    expected = rounds(started(InProcess(), 2), 2)
    place = started(Unreliable(losing(6)), 1, what="differ")
    place._recipes.append(recipe(1))
    place._workers.append(type(place._workers[0])(recipe(1)))
    with pytest.warns(UserWarning) as told:
        found = rounds(place, 2)
    first, second = (str(one.message) for one in told)
    assert "started again" in first and "collector 0 (in the learner's process) was lost" in second
    assert "do not repeat what they did (EnvironmentsDifferError: fragment 1 of 3). It begins new" in second
    assert [one[0][3] for one in found] == [True, False, False, True, True, False]  # begins anew
    assert [one[1] for one in found] == [one[1] for one in expected]  # the other one is as ever


def test_the_same_exception_at_the_same_fragment_is_not_tried_for_ever(tmp_path):
    place = started(InProcess(), 2, what="raise forever", at=10, folder=str(tmp_path))
    with pytest.warns(UserWarning, match="fragment 2 and is started again: EnvironmentFailedError"):
        with pytest.raises(CollectorError) as told:
            rounds(place, 2)
    assert re.search(
        r"collector 0 \(in the learner's process; seed 7, fragment 2\) has failed twice in the same way: "
        r"EnvironmentFailedError: .*environment 0 of 2.*the simulator is out of order",
        str(told.value),
    )
    assert "in happen" in str(told.value) and told.value.__cause__ is not None


def test_an_exception_that_is_raised_once_changes_nothing(tmp_path):
    expected = rounds(started(InProcess(), 2), 2)
    place = started(InProcess(), 2, what="raise", at=10, folder=str(tmp_path))
    with pytest.warns(UserWarning, match="the simulator is out of order"):
        assert rounds(place, 2) == expected


def test_more_failures_than_are_allowed_end_the_run():
    place = started(Unreliable(lambda order: "before" if order.collector == 1 else None), 2)
    with pytest.warns(UserWarning, match="started again"):
        with pytest.raises(CollectorError) as told:
            rounds(place, 2, max_restarts=3)
    assert place.restarted == [1, 1, 1]
    assert str(told.value) == (
        "collector 1 (in the learner's process; seed 7, fragment 0) has failed, and 4 failures of collectors are more "
        f"than collectors.max_restarts = 3 allows: {LOST}"
    )
