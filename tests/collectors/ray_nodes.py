"""A Ray cluster of three nodes on this machine, and what of Ray is running."""

import gc
import os
import secrets
import signal
from pathlib import Path

import pytest

from workspace_rl.collectors.places.ray_cluster import _read_authentication

#: Ray leaves files open, which are told wherever they are collected: each test that needs Ray has these marks.
needs_ray = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.usefixtures("collected_garbage")]

#: A node that was not heard of for five times half a second has left.
HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 5,
}


class RayNodes:
    """Nodes with two processors each; nobody joins them without their token, which stands in the environment."""

    def __init__(self, n):
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32), RAY_USAGE_STATS_ENABLED="0")
        from ray.cluster_utils import Cluster

        _read_authentication()

        options = {"num_cpus": 2, "object_store_memory": 200 * 2**20, "include_dashboard": False}
        self._options = options
        self._cluster = Cluster(initialize_head=True, head_node_args={**options, "_system_config": HEALTH})
        for _ in range(n - 1):
            self.add()
        self._cluster.wait_for_nodes(timeout=180)  # a busy machine takes its time
        self.address = self._cluster.address

    def add(self):
        self._cluster.add_node(
            wait=False, **{name: self._options[name] for name in ("num_cpus", "object_store_memory")}
        )

    def is_on_other_node(self, process):
        """Return whether a process lives on a node other than the first, which is not to be killed."""
        return parent(process) in [node.all_processes["raylet"][0].process.pid for node in self._cluster.worker_nodes]

    def kill_node_of(self, processes):
        """Kill a node, other than the first, on which one of these processes lives, without grace; return that one."""
        for node in self._cluster.worker_nodes:
            raylet = node.all_processes["raylet"][0].process.pid
            for process in processes:
                if parent(process) == raylet:
                    os.kill(raylet, signal.SIGKILL)
                    self._cluster.remove_node(node, allow_graceful=False)
                    self.add()
                    return process
        raise AssertionError("all of them live on the first node")

    def close(self):
        self._cluster.shutdown()
        self._cluster = None
        gc.collect()


def parent(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def name_of(process):
    """Return the name of a process, "" if it has ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    name, _, rest = state.partition("(")[2].rpartition(")")
    return "" if rest.split()[0] == "Z" else name


def descendants(process):
    """Return the processes that a process has started, and those that these have."""
    children = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            children.setdefault(parent(folder.name), []).append(int(folder.name))
        except OSError:
            continue  # it has ended
    found = list(children.get(process, []))
    for one in found:
        found += children.get(one, [])
    return found


def running(what):
    """Return the command lines of processes in which `what` stands."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_text().replace("\0", " ").strip()
        except OSError:
            continue  # it has ended
        if what in line:
            found.append(line)
    return found
