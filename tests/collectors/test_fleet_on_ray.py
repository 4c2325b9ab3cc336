"""Whole runs whose collectors live on a Ray cluster of three nodes: the bits of runs elsewhere, whatever is lost."""

import os
import signal

import pytest

from tests.collectors.ray_nodes import needs_ray
from tests.collectors.test_fleet import a_run, outcome, trained
from tests.runs.test_checkpoint import train_until
from workspace_rl.algos import SAC

pytestmark = needs_ray


def process_of(place, collector):
    return int(place.where(collector).rpartition(" ")[2])


def train_and_kill(path, ray_nodes, at_updates):
    """Train, and kill an actor, or a node with what lives there, at these updates; return how often one was lost."""
    run, lost = a_run(path, n=2, where="ray", address=ray_nodes.address), []
    make, learn = run.make_parts, run.learn

    def making():
        experience, run.fleet = make()
        return experience, run.fleet

    def killing(batch):
        kind = at_updates.pop(run.n_updates, None)
        place = run.fleet._place
        if kind == "actor":
            os.kill(process_of(place, 1), signal.SIGKILL)
        elif kind == "node":
            ray_nodes.kill_node_of([process_of(place, collector) for collector in range(2)])
        lost.append(run.fleet.status().restarts)
        return learn(batch)

    run.make_parts, run.learn = making, killing
    run.train(progress=False)
    return lost[-1]


@pytest.mark.filterwarnings("ignore:collector .* failed at its fragment:UserWarning")
def test_kills_change_no_bit_at_lag_0(ray_nodes, tmp_path):
    expected = trained(tmp_path / "expected", n=2)
    assert train_and_kill(tmp_path / "killed", ray_nodes, {30: "actor", 70: "node"}) >= 2
    assert outcome(tmp_path / "killed") == expected


def test_a_run_with_lag_1_goes_on_elsewhere(ray_nodes, tmp_path):
    expected = trained(tmp_path / "expected", n=2, lag=1, normalize=True)
    train_until(a_run(tmp_path / "run", n=2, lag=1, normalize=True, where="ray", address=ray_nodes.address), 60)
    assert outcome(tmp_path / "run") != expected
    SAC.restore(tmp_path / "run", ["collectors.where=process", "collectors.address=null"]).train(progress=False)
    assert outcome(tmp_path / "run") == expected


def test_a_run_with_memory_goes_on_from_elsewhere(ray_nodes, tmp_path):
    expected = trained(tmp_path / "expected", n=2, lag=1, memory=True)
    train_until(a_run(tmp_path / "run", n=2, lag=1, memory=True, where="local"), 60)
    overrides = ["collectors.where=ray", f"collectors.address={ray_nodes.address}"]
    SAC.restore(tmp_path / "run", overrides).train(progress=False)
    assert outcome(tmp_path / "run") == expected
