"""A Ray of our own, and clusters that are joined: who gets in, what is left, what is said when it is not possible."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from tests.collectors.ray_nodes import needs_ray, running
from workspace_rl.collectors.places import ray_cluster
from workspace_rl.collectors.places.ray_cluster import RayCluster, _read_authentication
from workspace_rl.errors import CollectorError

pytestmark = needs_ray

STRANGER = "import ray, sys; ray.init(address=sys.argv[1], logging_level=50); print('let in')"


def stranger(address, **environment):
    """Start a program that tries to join a cluster with what stands in its environment."""
    environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # as there: localhost is localhost
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, "-c", STRANGER, address], env={**clean, **environment}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.fixture
def own(monkeypatch):
    cluster = RayCluster(None)
    yield cluster
    cluster.close()


def own_folders():
    return set(Path("/tmp").glob(f"wrl-{os.getpid()}-*"))


def test_one_of_our_own_is_for_this_program_alone(own, monkeypatch):
    # Neither the cluster that the environment names, nor its token, is used.
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "1" * 32)
    mode = os.environ.get("RAY_AUTH_MODE")  # a cluster of other tests may have set it
    before = own_folders()
    sigterm = signal.getsignal(signal.SIGTERM)
    own.start_or_join(n_cpus=17)
    assert own.ray.cluster_resources()["CPU"] >= 17 and signal.getsignal(signal.SIGTERM) == sigterm
    (folder,) = own_folders() - before
    assert folder.stat().st_mode & 0o077 == 0  # sockets, and the object store behind one, are not for others
    address = own.ray.get_runtime_context().gcs_address
    host, _, port = address.rpartition(":")
    assert host == "127.0.0.1"
    with pytest.raises(OSError):  # this machine has other addresses: nobody listens there
        socket.create_connection(("127.0.0.2", int(port)), timeout=1).close()
    token = os.environ["RAY_AUTH_TOKEN"]
    assert len(token) == 64
    tries = [
        stranger(address),
        stranger(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="1" * 32),
        stranger(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token),
    ]
    said = [one.communicate(timeout=120)[0] for one in tries]
    assert [one.returncode == 0 for one in tries] == [False, False, True], said
    assert "let in" in said[2]
    own.close()
    assert os.environ["RAY_AUTH_TOKEN"] == "1" * 32 and os.environ.get("RAY_AUTH_MODE") == mode
    assert own_folders() == before and not running(folder.name)
    monkeypatch.undo()
    _read_authentication()


def test_folders_of_programs_that_were_killed_are_removed(own):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, kept = Path(f"/tmp/wrl-{ended.pid}-left"), Path(f"/tmp/wrl-{os.getppid()}-kept")
    others = Path(f"/tmp/wrl-others-{os.getpid()}")  # named so by chance
    left.mkdir(), kept.mkdir(), others.mkdir()
    folder = own._own_folder()
    assert not left.exists() and kept.exists() and others.exists() and folder.exists()
    kept.rmdir(), others.rmdir()
    own.close()
    assert not folder.exists()


def test_a_ray_that_the_program_has_initialised(ray_nodes):
    import ray

    ray.init(address=ray_nodes.address, log_to_driver=False)
    try:
        with pytest.raises(CollectorError, match="has called ray.init already. Use collectors.address=auto"):
            RayCluster(None).start_or_join(1)
        with pytest.raises(CollectorError, match=f"{ray_nodes.address}, the cluster .* expected, 10.0.0.1:6379 found"):
            RayCluster("10.0.0.1:6379").start_or_join(1)
        for address in ("auto", ray_nodes.address):
            joined = RayCluster(address)
            joined.start_or_join(1)
            joined.close()
            assert ray.is_initialized()  # it is the program's
    finally:
        ray.shutdown()


def test_room_is_looked_for_on_each_node(ray_nodes):
    joined = RayCluster(ray_nodes.address)
    joined.start_or_join(1)
    try:
        joined.require_room(6, 1)
        joined.require_room(60, 0.1)
        joined.require_room(10**6, 0)
        for n, cpus_each, room in ((7, 1, 6), (4, 1.5, 3), (1, 3, 0)):
            with pytest.raises(CollectorError, match=rf"{n} collectors of .* room for {room} found; .* 2,"):
                joined.require_room(n, cpus_each)
    finally:
        joined.close()


def test_clusters_that_are_not_there_are_told():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(CollectorError, match=f"a Ray cluster expected at {address}, nobody answers"):
            RayCluster(address).start_or_join(1)
    for address in ("no.such.host.invalid:6379", "127.0.0.1:99999"):
        with pytest.raises(CollectorError, match="nobody answers"):
            RayCluster(address).start_or_join(1)


@pytest.mark.parametrize("says", [None, b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_what_answers_but_is_no_ray_is_told(says, monkeypatch):
    monkeypatch.setattr(ray_cluster, "_ANSWER", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(24)
                connection.sendall(says)

        if says is not None:
            threading.Thread(target=answer).start()
        with pytest.raises(CollectorError, match="nobody answers: timed out" if says is None else "answers is no Ray"):
            RayCluster(address).start_or_join(1)


def test_without_the_extra_everything_else_works(tmp_path):
    program = """
        import sys
        sys.modules["ray"] = None  # importing it fails
        from workspace_rl.algos import SAC
        from workspace_rl.collectors.places.ray_cluster import _read_authentication, RayCluster
        from workspace_rl.errors import MissingDependencyError

        SAC("sac/pendulum", [
            "algorithm.total_steps=80", "algorithm.learning_starts=40", "collectors.n=2", "compile=false",
            "record_best=false", "algorithm.nb_evals=1", "algorithm.final_episodes=0",
        ]).train(progress=False)
        for address in (None, "auto"):
            try:
                RayCluster(address).start_or_join(1)
            except MissingDependencyError as error:
                print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('[ray]"') == 2 and "collectors.where=ray needs the package ray: pip" in done.stdout


def test_auto_is_what_the_environment_says(monkeypatch):
    monkeypatch.setattr(ray_cluster, "_ANSWER", 0.5)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(CollectorError, match="a Ray cluster expected at 127.0.0.1:1, nobody answers"):
        RayCluster("auto").start_or_join(1)
