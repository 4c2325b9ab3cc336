"""Agents on disk: pickles, as BBRL writes them, that each of the two packages reads; and the library's own folders."""

import copy
import subprocess
import sys
from functools import partial

import gymnasium as gym
import pytest
import torch
from torch import nn

import workspace_rl
from tests.compat.conftest import content
from workspace_rl.compat.bbrl.agents import Agents, KWAgentWrapper, SeedableAgent, SerializableAgent, TimeAgent
from workspace_rl.compat.bbrl.agents.agent import load
from workspace_rl.compat.bbrl.agents.gymnasium import ParallelGymAgent, make_env
from workspace_rl.compat.bbrl.workspace import Workspace
from workspace_rl.errors import PolicyFileError


class Everything(TimeAgent, SeedableAgent, SerializableAgent):
    """Inherits as BBRL's own agents do, and is built from what cannot be written down as plain data."""

    def __init__(self, activation=None, make=None, *args, size=3, **kwargs):
        super().__init__(*args, **kwargs)
        self.layer = nn.Sequential(nn.Linear(2, size), activation or nn.Identity())

    def forward(self, t, **kwargs):
        self.set((f"{self.prefix}q", t), self.layer(self.get(("x", t))))


def outcome(agent):
    workspace = Workspace()
    workspace.set("x", 0, torch.ones(3, 2))
    agent(workspace, t=0)
    return content(workspace)


def same(one, other):
    one, other = outcome(one), outcome(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


ENVIRONMENT = partial(make_env, "CartPole-v1", autoreset=True)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Everything(nn.ReLU(), ENVIRONMENT, name="critic").with_prefix("target/"),
        lambda: Everything(nn.ReLU(), make=lambda: gym.make("CartPole-v1")),  # not stored, so not written
        lambda: Everything(nn.Tanh(), gym.make("CartPole-v1"), seed=3),
        lambda: KWAgentWrapper(Everything(nn.ReLU()), stochastic=False),
        lambda: Agents(Everything(nn.ReLU()), Everything(nn.ReLU()).with_prefix("second/"), name="both"),
    ],
)
def test_a_saved_agent_is_read_by_torch(build, tmp_path):
    agent = build()
    agent.save_model(str(tmp_path / "model.agt"))
    loaded = torch.load(tmp_path / "model.agt", weights_only=False)
    assert type(loaded) is type(agent) and loaded.name == agent.name and loaded.prefix == agent.prefix
    assert same(loaded, agent) and same(copy.deepcopy(loaded), agent)
    assert loaded.workspace is None


def test_environments_are_saved_along(tmp_path):
    agent = Agents(ParallelGymAgent(ENVIRONMENT, 2).seed(3), Everything(nn.ReLU()))
    agent[0](Workspace(), t=0)
    agent.save_model(tmp_path / "all.agt")
    loaded = torch.load(tmp_path / "all.agt", weights_only=False)
    workspaces = [Workspace(), Workspace()]
    for one, workspace in zip((agent, loaded), workspaces, strict=True):
        for t in range(9):
            one[0](workspace, t=t)
            workspace.set("action", t, torch.ones(2, dtype=torch.int64))
    assert torch.equal(workspaces[0]["env/env_obs"], workspaces[1]["env/env_obs"])


def test_serializable_agents_save_what_they_serialize(tmp_path):
    class Heavy(Everything):
        def serialize(self):
            return self.layer_agent

    agent = Heavy()
    agent.layer_agent, agent.callback = Everything(nn.ReLU()), lambda: None
    agent.save(tmp_path / "light.agt")
    assert same(torch.load(tmp_path / "light.agt", weights_only=False), agent.layer_agent)


def test_pickles_are_not_opened(tmp_path):
    agent = Everything(nn.ReLU())
    agent.save_model(tmp_path / "model.agt")
    for read in (agent.load_model, load):
        with pytest.raises(PolicyFileError, match=r"torch\.load\(file, weights_only=False\)"):
            read(tmp_path / "model.agt")
    with pytest.raises(PolicyFileError, match="a pickle"):
        workspace_rl.load_policy(tmp_path / "model.agt")
    loaded = torch.load(tmp_path / "model.agt", weights_only=False)
    with pytest.raises(PolicyFileError, match="does not tell what an agent was built with"):
        workspace_rl.save_policy(loaded, tmp_path / "folder")


def test_the_librarys_folders_are_read(tmp_path):
    agent = Everything(size=4, name="critic").with_prefix("target/")
    workspace_rl.save_policy(copy.deepcopy(agent), tmp_path / "folder")
    for loaded in (agent.load_model(tmp_path / "folder"), load(tmp_path / "folder", [Everything])):
        assert same(loaded, agent) and loaded.name == "critic"
    with pytest.raises(PolicyFileError, match="allow"):
        load(tmp_path / "folder")


def test_copies_share_what_is_no_part_of_them():
    """BBRL copies what an agent holds, not what it was built from, which may be an environment of any size."""

    class Uncopied:
        def __deepcopy__(self, memo):
            raise AssertionError("copied")

    inner = Everything(nn.ReLU(), Uncopied())
    twin = copy.deepcopy(Agents(inner, name="both"))
    assert same(twin, Agents(inner)) and twin[0] is not inner
    assert twin.__dict__["_constructor_arguments"][0][0] is twin[0]
    flat = copy.copy(inner)
    assert same(flat, inner) and flat.layer is inner.layer
    assert flat.__dict__["_constructor_arguments"] is inner.__dict__["_constructor_arguments"]


MODELS = """
import torch
from torch import nn
from bbrl.agents import Agent, EpisodesDone, KWAgentWrapper, PrintAgent

class Actor(Agent):
    def __init__(self, activation, make):
        super().__init__(name="actor")
        self.model = nn.Sequential(nn.Linear(2, 3), activation)
    def forward(self, t, **kwargs):
        self.set((f"{self.prefix}action", t), self.model(self.get(("x", t))))

def outcome(agent):
    from bbrl.workspace import Workspace
    workspace = Workspace()
    workspace.set("x", 0, torch.ones(3, 2))
    workspace.set("env/done", 0, torch.zeros(3).bool())
    agent(workspace, t=0)
    return {name: workspace[name].tolist() for name in workspace.keys()}
"""
WRITE = """
import torch
from models import *
torch.manual_seed(0)
agent = Actor(nn.ReLU(), lambda: None).with_prefix("p/")
agent.save_model("model.agt")
KWAgentWrapper(agent, stochastic=False).save_model("wrapped.agt")
EpisodesDone().save_model("done.agt")
print(outcome(agent))
"""
READ = """
import torch
from models import *
for name in ("model", "wrapped"):
    print(outcome(torch.load(f"{name}.agt", weights_only=False)))
outcome(torch.load("done.agt", weights_only=False))
"""


def run(folder, text, *, ours):
    script = folder / "script.py"
    script.write_text(text)
    options = ["-m", "workspace_rl.compat.bbrl"] if ours else []
    return subprocess.run(
        [sys.executable, "-W", "ignore", *options, script], capture_output=True, text=True, cwd=folder
    )


@pytest.mark.parametrize("written_here", [True, False])
def test_files_go_from_one_package_to_the_other(tmp_path, written_here):
    (tmp_path / "models.py").write_text(MODELS)
    written = run(tmp_path, WRITE, ours=written_here)
    assert written.returncode == 0, written.stderr
    read = run(tmp_path, READ, ours=not written_here)
    assert read.returncode == 0, read.stderr
    assert read.stdout == written.stdout * 2

    if written_here:  # a process without either package says what it lacks
        alone = "import sys, torch\nsys.modules['bbrl'] = None\ntorch.load('model.agt', weights_only=False)\n"
        done = run(tmp_path, alone, ours=False)
        assert done.returncode == 1 and "bbrl" in done.stderr.splitlines()[-1]
