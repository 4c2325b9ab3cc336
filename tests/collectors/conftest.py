"""Shared by tests of collectors: a Ray cluster of three nodes on this machine, started when a test first needs it."""

import gc
import os
import signal
import warnings

import pytest

from tests.collectors.ray_nodes import RayNodes


@pytest.fixture
def collected_garbage():
    yield
    gc.collect()


@pytest.fixture(scope="session")
def ray_nodes():
    before, sigterm = dict(os.environ), signal.getsignal(signal.SIGTERM)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        nodes = RayNodes(3)
    signal.signal(signal.SIGTERM, sigterm)  # Ray's nodes would take half a minute to end
    yield nodes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        nodes.close()
    os.environ.clear()
    os.environ.update(before)
