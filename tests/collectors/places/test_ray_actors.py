"""Collectors on a Ray cluster of three nodes: what they deliver, how they fail, what they leave behind."""

import dataclasses
import os
import re
import signal
import time

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control import PendulumEnv

from tests.collectors.ray_nodes import needs_ray
from workspace_rl.algos import SAC
from workspace_rl.collectors.order import Delivery, Failure, History, Order
from workspace_rl.collectors.places.in_process import InProcess
from workspace_rl.collectors.places.ray_actors import CollectorActor, RayActors
from workspace_rl.errors import CollectorError, EnvironmentFailedError
from workspace_rl.learning.state.packed_weights import PackedWeights

pytestmark = needs_ray


class NoArguments(Exception):
    """Can be written, but not read."""

    def __init__(self, one, two):
        super().__init__("the simulator says no")


def raise_no_arguments():
    raise NoArguments(1, 2)


class Unreadable:
    def __reduce__(self):
        return raise_no_arguments, ()


class Failing(PendulumEnv):
    """Raises at its third step, and ends its process at its fifth one."""

    n_steps = 0

    def step(self, action):
        Failing.n_steps += 1
        if Failing.n_steps == 3:
            raise_no_arguments()
        if Failing.n_steps == 5:
            os._exit(3)
        return super().step(action)


gym.register("Failing-v0", entry_point=Failing)


def a_run(folder, env_name="Pendulum-v1", **collectors):
    return SAC({
        "gym_env": {"env_name": env_name}, "base_dir": str(folder), "compile": False, "collectors": collectors,
        "algorithm": {
            "total_steps": 1000, "learning_starts": 10, "n_envs": 2, "n_steps": 4,
            "architecture": {"actor_hidden_size": [8], "critic_hidden_size": [8]},
        },
    })  # fmt: skip


def a_plan(folder, *args, **collectors):
    run = a_run(folder, *args, **collectors)
    return run._fleet_plan(run.config.collectors, run.make_experience())


class Ordering:
    """Orders fragments of a place, and takes them."""

    def __init__(self, place, plan):
        self.place, self.weights = place, PackedWeights.of(plan.policy)
        self.n = [0, 0, 0]

    def order(self, collector, n_steps=4, **changes):
        number = self.n[collector]
        self.n[collector] += 1
        order = Order(collector, number, (0,), number, n_steps, 1000, False, 0, self.weights)
        self.place.submit(dataclasses.replace(order, **changes))

    def take(self, n, timeout=60.0):
        found, deadline = [], time.monotonic() + timeout
        while len(found) < n:
            assert time.monotonic() < deadline
            found += self.place.wait(0.5)
        return found

    def rounds(self, n):
        """Return what `n` rounds of two orders in flight for each collector bring, by collector."""
        found = {collector: [] for collector in range(2)}
        for _ in range(n):
            for collector in found:
                self.order(collector)
                self.order(collector)
            for one in self.take(2 * len(found)):
                found[one.collector].append(one)
        return found


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return a_plan(tmp_path_factory.mktemp("run"), n=2, where="ray")


@pytest.fixture(scope="module")
def shared(ray_nodes, plan, tmp_path_factory):
    failing = a_plan(tmp_path_factory.mktemp("run"), "Failing-v0", n=1, where="ray").recipes()
    place = RayActors(ray_nodes.address, 1)
    place.start([*plan.recipes(), dataclasses.replace(*failing, number=2)])
    yield place
    place.close()


@pytest.fixture
def actors(shared, plan):
    """Two collectors that have done nothing, and a third one that fails."""
    ordering = Ordering(shared, plan)
    yield ordering
    for collector, n in enumerate(ordering.n):
        if n:
            shared.restart(collector)


def test_fragments_are_those_of_the_learners_own_process(actors, plan):
    here = InProcess()
    here.start(plan.recipes())
    expected, found = Ordering(here, plan).rounds(3), actors.rounds(3)
    for collector in range(2):
        for number, (one, other) in enumerate(zip(expected[collector], found[collector], strict=True)):
            assert isinstance(other, Delivery) and other.number == number
            a, b = one.fragment(), other.fragment()
            assert set(a) == set(b) and one.checksum == other.checksum
            for name in a:
                assert a.get_full(name).equal(b.get_full(name)), name
    assert actors.place.alive() == 3
    assert len({process_of(actors.place, collector) for collector in range(3)}) == 3


def process_of(place, collector):
    return int(place.where(collector).rpartition(" ")[2])


def test_one_that_is_killed_is_told_once_and_repeats_what_it_did(actors, plan):
    before = actors.rounds(1)[0]
    history = History()
    for one in before:
        history.add(one)
    os.kill(process_of(actors.place, 0), signal.SIGKILL)
    actors.order(0)
    actors.order(0)
    (failure,) = actors.take(1)
    assert isinstance(failure, Failure) and failure.collector == 0 and failure.exception is None
    assert "ActorDiedError" in failure.error and "connection error" in failure.error
    assert "common causes" not in failure.error and "OOM" in failure.details
    assert actors.place.alive() == 2 and not actors.place.wait(1.0)
    actors.place.restart(0)
    actors.n[0] = 2
    actors.order(0, history=history)
    (found,) = actors.take(1)
    here = InProcess()
    here.start(plan.recipes())
    ordering = Ordering(here, plan)
    ordering.order(0), ordering.order(0), ordering.order(0)
    expected = ordering.take(3)[2]
    assert found.checksum == expected.checksum
    assert all(np.array_equal(found.frames[name], expected.frames[name]) for name in expected.frames)


def test_what_it_raises_is_told_and_so_is_its_end(actors):
    actors.order(2)
    (failure,) = actors.take(1)
    assert failure.collector == 2 and "the simulator says no" in failure.error and "in step" in failure.details
    assert isinstance(failure.exception, EnvironmentFailedError) and actors.place.alive() == 3
    actors.order(2)
    actors.order(2)
    (failure,) = actors.take(1)
    assert failure.collector == 2 and failure.exception is None and actors.place.alive() == 2


def test_a_recipe_that_cannot_be_read_is_told_by_an_exception_that_can(plan):
    actor = CollectorActor(cloudpickle.dumps(Unreadable()))
    order = Order(1, 7, (0,), 0, 4, 0, False, 0, None)
    failure = actor.collect(order, PackedWeights.of(plan.policy))
    assert failure.collector == 1 and failure.error == "NoArguments: the simulator says no"
    assert "raise_no_arguments" in failure.details
    assert isinstance(cloudpickle.loads(cloudpickle.dumps(failure)).exception, CollectorError)


def n_objects():
    """Return how many objects the object stores of all nodes hold."""
    from ray._private.internal_api import memory_summary

    return int(re.search(r"(\d+) objects", memory_summary(stats_only=True))[1])


def test_what_is_kept_does_not_hold_the_object_store(actors):
    actors.order(0)
    actors.take(1)
    before, kept = n_objects(), []
    for _ in range(4):
        actors.order(0, 2500)
        (delivery,) = actors.take(1)
        assert sum(value.nbytes for value in delivery.frames.values()) > 100 * 2**10  # small ones do not go through it
        kept.append((delivery.actions, delivery.carried))
        del delivery
    deadline = time.monotonic() + 5
    while n_objects() > before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert n_objects() <= before
