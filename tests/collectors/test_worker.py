"""A collector where its environments live: what it delivers follows from its orders alone, whatever kind they are."""

import dataclasses

import pytest

from tests.collectors.rounds import KINDS, collected, recipe
from workspace_rl.collectors.order import Order
from workspace_rl.collectors.places.in_process import InProcess
from workspace_rl.collectors.worker import CollectorWorker
from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.envs.known_elsewhere import KnownEnvironment
from workspace_rl.errors import CollectorError
from workspace_rl.learning.state.packed_weights import PackedWeights


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_lost_is_brought_to_where_it_was(kind):
    one = recipe(**KINDS[kind]())
    place, other = InProcess(), InProcess()
    place.start([one]), other.start([one])

    def lose(collector, number):
        if number in (1, 4, 5):  # while actions are random, by a policy, twice in a row
            other.restart(collector)
            return True
        return False

    expected = collected(place, [one], range(7))
    assert collected(other, [one], range(7), lost=lose) == expected
    place.close(), other.close()
    assert len({repr(fragment) for fragment in expected[0]}) == 7


def test_weights_that_it_has_need_not_be_sent_again_but_no_others_act_in_their_place():
    one = recipe()
    worker, other = CollectorWorker(one), CollectorWorker(one)
    order = Order(0, 0, (0,), 0, 4, 0, False, 3, PackedWeights.of(one.policy))
    following = dataclasses.replace(order, number=1, index=1)
    for this in (worker, other):
        this.collect(order)
    kept, sent = worker.collect(dataclasses.replace(following, weights=None)), other.collect(following)
    assert (kept.actions == sent.actions).all() and kept.checksum == sent.checksum
    with pytest.raises(CollectorError, match="collector 0 is to act with the weights of update 4, which were not sent"):
        worker.collect(dataclasses.replace(following, number=2, index=2, version=4, weights=None))
    worker.close(), other.close()


def test_classes_of_the_program_itself_are_sent_with_a_recipe(monkeypatch):
    class Own:
        pass

    monkeypatch.setattr("__main__.OwnWrapper", Own, raising=False)
    config = EnvironmentConfig(env_name="Pendulum-v1", wrappers=["__main__.OwnWrapper", "FlattenObservation"])
    config.check("")
    known = KnownEnvironment.of(config.env_name, config.wrappers)
    assert known.of_program == {"__main__": {"OwnWrapper": Own}} and known.spec.id == "Pendulum-v1"
