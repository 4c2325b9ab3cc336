"""The real BBRL beside this library's stand-in."""

import importlib
import warnings

import pytest

with warnings.catch_warnings():
    # Box2D, which this imports, crashes if a warning of its own is an error.
    warnings.simplefilter("ignore")
    importlib.import_module("bbrl_gymnasium.envs")

ONES = {"real": "bbrl", "ours": "workspace_rl.compat.bbrl"}


class Package:
    """BBRL's modules, the real ones or this library's: `package.agents.Agents`."""

    def __init__(self, root):
        self.root = root

    def module(self, name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the real package's own
            return importlib.import_module(f"{self.root}.{name}")

    agents = property(lambda self: self.module("agents"))
    gym = property(lambda self: self.module("agents.gymnasium"))
    Workspace = property(lambda self: self.module("workspace").Workspace)
    ReplayBuffer = property(lambda self: self.module("utils.replay_buffer").ReplayBuffer)


REAL, OURS = (Package(root) for root in ONES.values())


@pytest.fixture
def real():
    return REAL


@pytest.fixture
def ours():
    return OURS


@pytest.fixture(params=["real", "ours"])
def either(request):
    return REAL if request.param == "real" else OURS


def content(workspace):
    return {name: workspace.get_full(name) for name in workspace.keys()}
