"""Ray, in which collectors live: one of our own on this machine, or a cluster that runs already."""

from __future__ import annotations

import contextlib
import importlib
import logging
import math
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from workspace_rl.errors import CollectorError, MissingDependencyError
from workspace_rl.machine.processes import n_processors
from workspace_rl.messages.installation import how_to_install

#: Seconds that the machine of an address gets to answer.
_ANSWER = 5.0
#: Lines of what a process has written before it ended.
_LAST_LINES = 60
#: Bytes, at most, of the memory in which what collectors deliver and weights lie until they are taken.
_STORE = 2 * 2**30


class RayCluster:
    """A connection with Ray, closed by `close`.

    Attributes:
        ray: the module, imported when a cluster is first opened: `import workspace_rl` does not need it.
        is_own: whether Ray was started here, for this process alone.
        folder: its folder, if it was.
    """

    def __init__(self, address: str | None) -> None:
        """Say which cluster.

        Args:
            address: "HOST:PORT" of one that runs, "auto" for the one that this process or this machine belongs to,
                None for one of our own, which others cannot join.
        """
        self._address = address
        self.is_own = address is None
        self.folder: Path | None = None
        self.ray: Any = None
        self._on_close = contextlib.ExitStack()

    def start_or_join(self, n_cpus: float) -> None:
        """Connect; a cluster of our own gets room for `n_cpus` processors, as many as this machine has at least.

        Raises:
            CollectorError: there is no cluster, it does not let us in, or Ray is in use here for something else.
            MissingDependencyError: Ray is not installed.
        """
        with contextlib.ExitStack() as if_it_fails:
            if_it_fails.callback(self.close)
            if self.is_own:
                self._start(n_cpus)
            else:
                self._join()
            if_it_fails.pop_all()

    def close(self) -> None:
        """Disconnect; a cluster of our own ends, and leaves no files."""
        self._on_close.close()

    def require_room(self, n: int, cpus_each: float) -> None:
        """Look whether the cluster's nodes have room for `n` collectors.

        Raises:
            CollectorError: they do not; Ray would wait for ever for more nodes.
        """
        nodes = [node for node in self.ray.nodes() if node["Alive"]]
        cpus = [node["Resources"].get("CPU", 0.0) for node in nodes]
        room = sum(int(found / cpus_each + 1e-6) for found in cpus) if cpus_each else n
        if room < n:
            described = ", ".join(
                f"{node['NodeManagerAddress']} {found:g}" for node, found in zip(nodes, cpus, strict=True)
            )
            raise CollectorError(
                f"{n} collectors of {cpus_each:g} processors each (collectors.cpus_each) expected to fit into the Ray "
                f"cluster, room for {room} found; its nodes have processors: {described}. Ask for fewer "
                "(collectors.n), let them share (collectors.cpus_each=0.1), or add nodes."
            )

    def free(self) -> str:
        """Return what is free in the cluster, for messages."""
        total, free = (what.get("CPU", 0.0) for what in (self.ray.cluster_resources(), self.ray.available_resources()))
        return f"{free:g} of the cluster's {total:g} processors are free"

    def last_words(self, pid: int) -> str:
        """Return the end of what a process of our own Ray has written to its standard error."""
        if self.folder is None:
            return ""
        texts = [
            one.read_text(encoding="utf-8", errors="replace")
            for one in self.folder.glob(f"r/session_*/logs/worker-*-{pid}.err")
        ]
        lines = "".join(texts).splitlines()[-_LAST_LINES:]
        return "\n".join([f"The last that process {pid} has written:", *lines]) if lines else ""

    def _start(self, n_cpus: float) -> None:
        was_imported = sys.modules.get("ray") is not None
        if was_imported:
            import ray

            if ray.is_initialized():
                raise CollectorError(
                    "collectors.address: null starts a Ray of its own, but this program has called ray.init already. "
                    "Use collectors.address=auto to let the collectors live in that one, or call ray.shutdown() before."
                )
        self._keep_environment()
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32), RAY_USAGE_STATS_ENABLED="0")
        self._import()
        if was_imported:
            _read_authentication()
        self.folder = self._own_folder()
        with _loopback_only():
            self._connect(
                address="local",
                num_cpus=max(n_processors(), math.ceil(n_cpus)),
                include_dashboard=False,
                object_store_memory=_store_size(),
                # Ray opens its folder to everybody: it stands in one that is not.
                _temp_dir=str(self.folder / "r"),
            )

    def _join(self) -> None:
        address = str(self._address)
        self._import()
        ray = self.ray
        if ray.is_initialized():
            found = ray.get_runtime_context().gcs_address
            if address not in ("auto", found):
                raise CollectorError(
                    f"collectors.address: {found}, the cluster that this program has joined by ray.init, or auto "
                    f"expected, {address} found."
                )
            return
        if address == "auto":
            address = os.environ.get("RAY_ADDRESS", address)
        if re.fullmatch(r".+:\d+", address):
            _require_answer(address)
        self._connect(address=address)

    def _import(self) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingDependencyError(
                f"collectors.where=ray needs the package ray: {how_to_install('ray')}"
            ) from error
        self.ray = ray

    def _connect(self, **options: Any) -> None:
        ray = self.ray
        with _own_sigterm():
            try:
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
            except Exception as error:  # whatever Ray raises: of connections, tokens, versions
                what = "Ray cannot be started"
                if not self.is_own:
                    what = (
                        f"the Ray cluster at {self._address} cannot be joined (its token, if it has one, is expected "
                        "in RAY_AUTH_TOKEN or in ~/.ray/auth_token, and this machine must be one of its nodes)"
                    )
                raise CollectorError(f"{what}: {type(error).__name__}: {error}") from error
        self._on_close.callback(ray.shutdown)

    def _own_folder(self) -> Path:
        # Short: paths of sockets end at 107 bytes, and Ray adds 60 or 70.
        root = "/tmp" if os.path.isdir("/tmp") else None
        for old in Path(root or tempfile.gettempdir()).glob("wrl-*-*"):
            pid = old.name.split("-")[1]
            if pid.isdecimal() and not _is_running(int(pid)):  # killed before it could remove its folder
                shutil.rmtree(old, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f"wrl-{os.getpid()}-", dir=root))
        self._on_close.callback(weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True))
        return folder

    def _keep_environment(self) -> None:
        """Let `close` undo what is set in the environment, which Ray's processes take over."""
        names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED")
        before = {name: os.environ.get(name) for name in names}

        def restore() -> None:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
            if sys.modules.get("ray") is not None:
                _read_authentication()

        self._on_close.callback(restore)


def _read_authentication() -> None:
    """Let Ray, which keeps what it has read, read the environment again."""
    raylet: Any = importlib.import_module("ray._raylet")  # compiled: it names nothing to a type checker
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextlib.contextmanager
def _loopback_only() -> Iterator[None]:
    """Let Ray listen to this machine alone, as it does on Windows and macOS of itself."""
    from ray._private import ray_constants

    before, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep what SIGTERM does here; `ray.init` would let it end the program at once."""
    before: Callable[..., Any] | int | None = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def _store_size() -> int:
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
    return max(100 * 2**20, min(_STORE, shutil.disk_usage(folder).free // 2))


def _require_answer(address: str) -> None:
    """Look whether an address is that of a server such as Ray's: Ray itself waits for minutes, deaf to all signals."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER) as connection:
            # How HTTP/2, on which gRPC stands, begins: both sides say their settings, frames of type 4.
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
            if connection.recv(9)[3:4] == b"\4":
                return
            why = "who answers is no Ray"
    except (OSError, OverflowError) as error:
        why = f"nobody answers: {error}"
    raise CollectorError(
        f"collectors.address: a Ray cluster expected at {address}, {why}. `ray status` on a node of the cluster says "
        "its address; collectors.address=null starts a Ray on this machine."
    )
