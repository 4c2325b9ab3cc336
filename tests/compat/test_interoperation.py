"""Agents of the real BBRL, of this library, of its stand-in, and of others, side by side and without any drop-in."""

from functools import partial

import numpy as np
import pytest
import stable_baselines3
import torch

import workspace_rl
from tests.compat.conftest import OURS, REAL, content
from workspace_rl import Agents, GymAgent, TemporalAgent, Workspace
from workspace_rl.agents import DeterministicActor, GRUAgent
from workspace_rl.errors import CompositionError
from workspace_rl.evaluation.evaluation import evaluate

pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")]


class TheirPolicy(REAL.agents.Agent):
    """Written for the real BBRL."""

    def __init__(self, name=None):
        super().__init__(name)
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, t, stochastic=True, **kwargs):
        action = torch.tanh(self.layer(self.get(("env/env_obs", t))))
        self.set(("action", t), action + 0.0 * stochastic)
        if t > 0:
            self.set(("last", t), self.get_time_truncated("action", t - 1, t)[0])


class OurPolicy(workspace_rl.Agent):
    """The same, written for this library."""

    def __init__(self, theirs):
        super().__init__()
        self.layer = theirs.layer

    def forward(self, t, **kwargs):
        self.set(("action", t), torch.tanh(self.layer(self.get(("env/env_obs", t)))))
        if t > 0:
            self.set(("last", t), self.get(("action", t - 1)))


class Wrapped(REAL.agents.Agent):
    """An agent of this library for the real `Agents`, which takes its own class only."""

    def __init__(self, agent):
        super().__init__()
        self.agent = agent

    def forward(self, **kwargs):
        self.agent(self.workspace, **kwargs)


class SB3Policy(workspace_rl.Agent):
    """A policy of stable-baselines3."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, t, **kwargs):
        action, _ = self.model.predict(self.get(("env/env_obs", t)).numpy(), deterministic=True)
        self.set(("action", t), torch.as_tensor(action))


def same(one, other):
    one, other = content(one), content(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_an_agent_of_bbrl_runs_among_ours():
    theirs = TheirPolicy("actor")
    results = []
    for policy in (theirs, OurPolicy(theirs)):
        workspace = Workspace()
        agent = TemporalAgent(Agents(GymAgent("Pendulum-v1", 3, seed=1), policy))
        agent(workspace, t=0, n_steps=50, stochastic=False)
        results.append(workspace)
    assert same(*results)
    assert agent.seed(3) is agent
    composed = Agents(GymAgent("Pendulum-v1"), theirs)
    assert composed.get_by_name("actor") == [theirs]
    assert len(list(composed.parameters())) == 2
    assert theirs.workspace is None


def test_an_agent_of_bbrl_is_evaluated_and_trained_by_our_code():
    theirs = TheirPolicy()
    env_agent = GymAgent("Pendulum-v1", 2, auto_reset=False)
    assert evaluate(env_agent, theirs, [1, 2, 3]) == evaluate(env_agent, OurPolicy(theirs), [1, 2, 3])
    workspace = Workspace()
    TemporalAgent(Agents(env_agent, theirs))(workspace, t=0, n_steps=5)
    workspace["action"].sum().backward()
    assert theirs.layer.weight.grad.abs().sum() > 0


def test_environments_of_bbrl_run_among_ours():
    policy, results = TheirPolicy(), []
    for package, workspace in ((workspace_rl, Workspace()), (REAL.agents, REAL.Workspace())):
        env_agent = REAL.gym.ParallelGymAgent(partial(REAL.gym.make_env, "Pendulum-v1", autoreset=True), 2).seed(1)
        package.TemporalAgent(package.Agents(env_agent, policy))(workspace, t=0, n_steps=230)
        results.append(workspace)
    assert same(*results)


def test_our_agents_run_on_the_workspace_and_in_the_compositions_of_bbrl():
    theirs = TheirPolicy()
    ours, results = OurPolicy(theirs), []
    for build, workspace in (
        (lambda: TemporalAgent(Agents(GymAgent("Pendulum-v1", 2, seed=4), ours)), Workspace()),
        (lambda: TemporalAgent(Agents(GymAgent("Pendulum-v1", 2, seed=4), ours)), REAL.Workspace()),
        (lambda: REAL.agents.TemporalAgent(Agents(GymAgent("Pendulum-v1", 2, seed=4), theirs)), REAL.Workspace()),
        (
            lambda: REAL.agents.TemporalAgent(
                REAL.agents.Agents(Wrapped(GymAgent("Pendulum-v1", 2, seed=4)), Wrapped(ours))
            ),
            REAL.Workspace(),
        ),
    ):
        build()(workspace, t=0, n_steps=230)
        results.append(workspace)
    assert all(same(results[0], other) for other in results[1:])


def test_a_policy_of_stable_baselines3_is_an_agent(tmp_path):
    model = stable_baselines3.SAC("MlpPolicy", "Pendulum-v1", seed=1, policy_kwargs={"net_arch": [8]}, device="cpu")
    workspace = Workspace()
    # predict() gives actions in the environment's own units.
    env_agent = GymAgent("Pendulum-v1", 2, rescale_actions=False)
    TemporalAgent(Agents(env_agent, SB3Policy(model)))(workspace, t=0, n_steps=20)
    expected, _ = model.predict(workspace["env/env_obs"][7].numpy(), deterministic=True)
    assert np.array_equal(workspace["action"][7].numpy(), expected)


def test_what_is_no_agent_is_still_refused():
    with pytest.raises(CompositionError, match="must be an agent"):
        Agents(torch.nn.Linear(1, 1))
    with pytest.raises(CompositionError, match="instance"):
        TemporalAgent(TheirPolicy)


@pytest.mark.parametrize("package", [REAL, OURS])
def test_memory_goes_on_in_loops_and_workspaces_of_bbrl(package):
    torch.manual_seed(0)
    policy = Agents(GRUAgent(3, 8), DeterministicActor(8, [8], 1, observation_variable="memory"))
    pieces, workspace, whole = [], package.Workspace(), Workspace()
    with torch.no_grad():
        agent = TemporalAgent(Agents(GymAgent("Pendulum-v1", 2, seed=1), policy))
        agent(workspace, t=0, n_steps=4)
        for _ in range(3):
            pieces.append(workspace.get_full("memory/hidden")[1:].clone())
            workspace.copy_n_last_steps(1)
            agent(workspace, t=1, n_steps=3)
        TemporalAgent(Agents(GymAgent("Pendulum-v1", 2, seed=1), policy))(whole, t=0, n_steps=10)
    assert torch.equal(torch.cat(pieces), whole["memory/hidden"][1:])


def test_pieces_of_bbrls_time_have_the_state_before_them():
    workspace = OURS.Workspace()
    for t in range(4):
        workspace.set("state", t, torch.full((2,), float(t)))
    workspace.set_full("state/before", torch.full((1, 2), -1.0))
    for start in range(4):
        pieces = [workspace.subtime(start, 4), workspace.get_time_truncated_workspace(start, 4)]
        assert [one["state/before"].tolist() for one in pieces] == [[[start - 1.0] * 2]] * 2
    assert workspace.get_transitions(no_final_state=True)["state/before"].tolist() == [[-1, -1, 0, 0, 1, 1]]
    workspace.copy_n_last_steps(1)
    assert workspace["state/before"].tolist() == [[2, 2]] and workspace["state"][0].tolist() == [3, 3]
