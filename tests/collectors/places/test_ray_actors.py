"""Collectors on a Ray cluster of three nodes: what they deliver, how they fail, what they leave behind."""

import dataclasses
import itertools
import os
import re
import signal
import threading
import time

import cloudpickle
import pytest

from tests.collectors.ray_nodes import needs_ray
from tests.collectors.rounds import recipe, rounds
from workspace_rl.collectors.order import Failure, Order
from workspace_rl.collectors.places import ray_actors
from workspace_rl.collectors.places.in_process import InProcess
from workspace_rl.collectors.places.ray_actors import CollectorActor, RayActors
from workspace_rl.errors import CollectorError, EnvironmentFailedError, WorkerError
from workspace_rl.learning.state.packed_weights import PackedWeights

pytestmark = needs_ray

#: Other environments in each test, since processes are shared.
begins = itertools.count(1000, 1000)


def started(place, n, **of_last):
    place.start([recipe(number, **(of_last if number == 2 else {})) for number in range(n)])
    return place


@pytest.fixture(scope="module")
def three(ray_nodes, tmp_path_factory):
    """Three collectors, the last of which fails once."""
    place = RayActors(ray_nodes.address, 1)
    yield started(place, 3, what="raise", at=5, folder=str(tmp_path_factory.mktemp("raise")))
    place.close()


def process_of(place, collector):
    return int(place.where(collector).rpartition(" ")[2])


def take(place, n, timeout=60.0):
    found, deadline = [], time.monotonic() + timeout
    while len(found) < n:
        assert time.monotonic() < deadline
        found += place.wait(0.5)
    return found


@pytest.mark.parametrize("small", [10**6, 0], ids=["weights go along", "weights are stored"])
@pytest.mark.parametrize("lag", [0, 1])
def test_fragments_are_those_of_the_learners_own_process(lag, small, three, monkeypatch):
    monkeypatch.setattr(ray_actors, "_SMALL", small)
    begin = next(begins)
    assert rounds(three, 2, lag=lag, begin=begin) == rounds(started(InProcess(), 2), 2, lag=lag, begin=begin)
    assert three.alive() == 3
    assert len({process_of(three, collector) for collector in range(3)}) == 3


def test_an_actor_that_is_killed_and_a_node_that_leaves_change_nothing(three, ray_nodes):
    begin = next(begins)
    ended = []

    def kill(driver, index):
        if index == 2:
            ended.append(process_of(three, 0))
            os.kill(ended[0], signal.SIGKILL)
        if index == 4:
            ended.append(ray_nodes.kill_node_of([process_of(three, collector) for collector in range(2)]))

    with pytest.warns(UserWarning, match=r"collector \d \(node .*, process \d+\) failed at .*: Actor\w+Error: "):
        found = rounds(three, 2, begin=begin, before_round=kill)
    assert found == rounds(started(InProcess(), 2), 2, begin=begin)
    assert not set(ended) & {process_of(three, collector) for collector in range(2)}


def test_one_that_is_lost_is_told_once_whatever_it_was_ordered(three):
    order = Order(1, 0, (next(begins),), 0, 4, 1000, False, 0, PackedWeights.of(recipe().policy))
    three.submit(order)
    assert [one.number for one in take(three, 1)] == [0]
    os.kill(process_of(three, 1), signal.SIGKILL)
    for number in (1, 2):
        three.submit(dataclasses.replace(order, number=number, index=number))
    (failure,) = take(three, 1)
    assert isinstance(failure, Failure) and failure.collector == 1 and failure.exception is None
    assert "ActorDiedError" in failure.error and "common causes" not in failure.error and "OOM" in failure.details
    assert three.alive() == 2 and not three.wait(1.0)
    three.restart(1)


def test_what_an_environment_raises_is_told(three):
    order = Order(2, 0, (next(begins),), 0, 8, 1000, False, 0, PackedWeights.of(recipe().policy))
    three.submit(order)
    (failure,) = take(three, 1)
    assert failure.collector == 2 and "the simulator is out of order" in failure.error
    assert isinstance(failure.exception, EnvironmentFailedError) and "in happen" in failure.details
    assert three.alive() == 3
    three.restart(2)
    three.submit(order)
    assert take(three, 1)[0].number == 0


class NoArguments(Exception):
    """Can be written, but not read."""

    def __init__(self, one, two):
        super().__init__("the simulator says no")


def raise_no_arguments():
    raise NoArguments(1, 2)


class Unreadable:
    def __reduce__(self):
        return raise_no_arguments, ()


def test_a_recipe_that_cannot_be_read_is_told_by_an_exception_that_can():
    actor = CollectorActor(cloudpickle.dumps(Unreadable()))
    failure = actor.collect(Order(1, 7, (0,), 0, 4, 0, False, 0, None), PackedWeights.of(recipe().policy))
    assert failure.collector == 1 and failure.error == "NoArguments: the simulator says no"
    assert "raise_no_arguments" in failure.details
    assert isinstance(cloudpickle.loads(cloudpickle.dumps(failure)).exception, CollectorError)


def test_a_recipe_that_cannot_be_sent_is_told():
    place = RayActors("127.0.0.1:1", 1)
    with pytest.raises(WorkerError, match="recipe of collector 0 cannot be sent to another process: TypeError"):
        place.start([recipe(0, what=threading.Lock())])
    assert not place.alive()


def test_more_collectors_than_there_is_room_for_are_told(ray_nodes):
    place = RayActors(ray_nodes.address, 1)
    with pytest.raises(CollectorError, match=r"7 collectors of 1 processors each .* room for 6 found"):
        started(place, 7)


def n_objects():
    """Return how many objects the object stores of all nodes hold."""
    from ray._private.internal_api import memory_summary

    return int(re.search(r"(\d+) objects", memory_summary(stats_only=True))[1])


def test_what_is_kept_does_not_hold_the_object_store(three):
    order = Order(0, 0, (7,), 0, 4, 1000, False, 0, PackedWeights.of(recipe().policy))
    three.submit(order)
    take(three, 1)
    before, kept = n_objects(), []
    for number in range(1, 5):
        three.submit(dataclasses.replace(order, number=number, index=number, n_steps=2500))
        (delivery,) = take(three, 1)
        assert sum(value.nbytes for value in delivery.frames.values()) > 100 * 2**10  # small ones do not go through it
        kept.append((delivery.actions, delivery.carried))
        del delivery
    deadline = time.monotonic() + 5
    while n_objects() > before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert n_objects() <= before
