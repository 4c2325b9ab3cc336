"""Collectors on Ray through what happens rarely: kills at any moment, vanishing learners, full stores, other tokens."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from tests.collectors.conftest import collected_garbage, ray_nodes  # noqa: F401, RUF100
from tests.collectors.ray_nodes import descendants, name_of, needs_ray
from tests.collectors.rounds import RestlessEnv, recipe
from tests.collectors.test_fleet import a_run, outcome, trained
from workspace_rl.collectors.order import Delivery, Failure, Order
from workspace_rl.collectors.places import ray_cluster
from workspace_rl.collectors.places.in_process import InProcess
from workspace_rl.collectors.places.ray_actors import RayActors
from workspace_rl.collectors.places.ray_cluster import RayCluster
from workspace_rl.errors import CollectorError
from workspace_rl.learning.state.packed_weights import PackedWeights

pytestmark = needs_ray


def process_of(place, collector):
    return int(place.where(collector).rpartition(" ")[2])


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("expected"), n=2, where="process")


@pytest.mark.filterwarnings("ignore:collector .* failed at its fragment:UserWarning")
@pytest.mark.parametrize("seed", range(20))
def test_kills_at_any_moment_change_no_bit(seed, ray_nodes, expected, tmp_path):  # noqa: F811
    rng = random.Random(seed)
    run = a_run(tmp_path, n=2, where="ray", address=ray_nodes.address)
    make, begun, ended = run.make_parts, threading.Event(), threading.Event()

    def making():
        experience, run.fleet = make()
        return experience, run.fleet

    def killing():
        begun.wait()
        time.sleep(rng.uniform(0, 2))
        place = run.fleet._place
        while not ended.is_set():
            try:
                at = [process_of(place, collector) for collector in range(2)]
                kill_node = seed % 2 and [one for one in at if ray_nodes.is_on_other_node(one)]
                if kill_node:
                    ray_nodes.kill_node_of(kill_node)
                else:
                    os.kill(rng.choice(at), signal.SIGKILL)
                return
            except (OSError, ValueError):
                time.sleep(0.1)  # it is being started

    run.make_parts = making
    collecting = run.learn

    def learning(batch):
        begun.set()
        time.sleep(0.02)  # the run is short
        return collecting(batch)

    run.learn = learning
    killer = threading.Thread(target=killing)
    killer.start()
    run.train(progress=False)
    ended.set(), begun.set()
    killer.join()
    assert run.fleet.status().restarts >= 1
    assert outcome(tmp_path) == expected


PROGRAM = """
    import sys

    import gymnasium as gym
    from beside import Pendulum
    from workspace_rl.algos import SAC

    class Mine(Pendulum):
        pass

    gym.register("Mine-v0", entry_point="__main__:Mine")
    SAC({
        "gym_env": {"env_name": "Mine-v0"}, "base_dir": "run", "compile": False, "record_best": False,
        "algorithm": {
            "total_steps": int(sys.argv[1]), "learning_starts": 100, "n_envs": 2, "n_steps": 4, "nb_evals": 1,
            "eval_interval": 10**6, "checkpoint_interval": 200, "final_episodes": 0, "batch_size": 16,
            "architecture": {"actor_hidden_size": [8], "critic_hidden_size": [8]},
        },
        "logger": {"log_interval": 80}, "collectors": {"n": 2, "where": "ray"},
    }).train(progress=False)
"""


@pytest.fixture
def learner(tmp_path):
    """A program with environments of its own, and of a module beside it, which learns for long on a Ray of its own."""
    (tmp_path / "beside.py").write_text(
        "from gymnasium.envs.classic_control import PendulumEnv\n\n\nclass Pendulum(PendulumEnv):\n    pass\n"
    )
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    process = subprocess.Popen(
        [sys.executable, "program.py", "1000000"], cwd=tmp_path, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    metrics, deadline = tmp_path / "run" / "metrics.csv", time.monotonic() + 600
    while not metrics.exists() or metrics.read_text().count("\n") < 3:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.1)
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def remains(processes):
    """Return the names of those of these processes that are running, but for Ray's agents: they take a minute."""
    names = {process: name_of(process) for process in processes}
    return [name for name in names.values() if name and name not in ("ray::DashboardA", "ray::RuntimeEnv")]


def wait_for_the_end(processes):
    deadline = time.monotonic() + 20
    while remains(processes):
        assert time.monotonic() < deadline, remains(processes)
        time.sleep(0.1)


def test_ctrl_c_is_for_the_learner_alone(learner):
    processes = descendants(learner.pid)
    assert len(remains(processes)) >= 4
    os.killpg(learner.pid, signal.SIGINT)
    said = learner.communicate(timeout=120)[0]
    assert learner.returncode == 0 and "failed" not in said and "Traceback" not in said
    wait_for_the_end(processes)
    assert not list(Path("/tmp").glob(f"wrl-{learner.pid}-*"))


def test_nothing_outlives_a_learner_that_is_killed(learner):
    processes = descendants(learner.pid)
    assert len(remains(processes)) >= 4
    learner.kill()
    learner.wait()
    wait_for_the_end(processes)


def test_more_than_the_object_store_holds(monkeypatch):
    """What does not fit goes to the disk: nothing is lost, and nobody waits for ever."""
    monkeypatch.setattr(ray_cluster, "_STORE", 100 * 2**20)
    space = RestlessEnv(observation_space=None).observation_space.__class__(0, 255, (1000, 1000), "uint8")
    order = Order(0, 0, (0,), 0, 30, 0, False, 0, PackedWeights.of(recipe().policy))
    places = [RayActors(None, 1), InProcess()]
    for place in places:
        place.start([recipe(observation_space=space)])
    try:
        for number in range(5):  # of 60 MB each
            kept = [one for one in deliver(places, order, number)]
            ours, theirs = kept
            assert ours.checksum == theirs.checksum and ours.frames["env/env_obs"].nbytes >= 60 * 10**6
    finally:
        places[0].close()


def deliver(places, order, number):
    for place in places:
        place.submit(Order(0, number, (0,), number, *(getattr(order, name) for name in (
            "n_steps", "step", "random", "version", "weights"
        ))))  # fmt: skip
        found = []
        while not found:
            found = place.wait(0.5)
        assert isinstance(found[0], Delivery), found[0]
        yield found[0]


def test_one_that_hangs_ends_itself_and_says_where(tmp_path):
    place = RayActors(None, 1)
    place.start([recipe(what="deaf hang", at=7, folder=str(tmp_path), timeout=2.0)])
    try:
        place.submit(Order(0, 0, (0,), 0, 30, 0, False, 0, PackedWeights.of(recipe().policy)))
        found = []
        while not found:
            found = place.wait(0.5)
        assert isinstance(found[0], Failure) and "ActorDiedError" in found[0].error
        assert "longer than 2 seconds (gym_env.timeout)" in found[0].details and "in happen" in found[0].details
    finally:
        place.close()


def test_a_cluster_with_another_token_is_told(ray_nodes, monkeypatch):  # noqa: F811
    monkeypatch.setenv("RAY_AUTH_TOKEN", "2" * 32)
    ray_cluster._read_authentication()
    try:
        with pytest.raises(CollectorError, match=rf"{ray_nodes.address} cannot be joined \(its token"):
            RayCluster(ray_nodes.address).start_or_join(1)
    finally:
        monkeypatch.undo()
        ray_cluster._read_authentication()
