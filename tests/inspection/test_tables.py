"""Tables of what agents read and write."""

import copy

import pytest
import torch

from tests.inspection.pieces import rows, texts
from workspace_rl import Agent, Agents, GymAgent, ReplayBuffer, TemporalAgent, Workspace, check, describe, diagram
from workspace_rl.agents import ContinuousQAgent, RandomAgent
from workspace_rl.agents.memory import GRUAgent
from workspace_rl.algos import SAC
from workspace_rl.composition import KWAgentWrapper


@pytest.fixture(scope="module")
def env():
    agent = GymAgent("Pendulum-v1", 2, name="environment")
    yield agent
    agent.close()


def test_offsets_are_those_of_the_agents_own_steps(env, policy):
    description = describe(TemporalAgent(Agents(env, KWAgentWrapper(policy, log_prob=True))))
    assert rows(description, "actor") == {
        ("reads", "env/env_obs", "t", "[B, 3]", "float32"),
        ("writes", "action", "t", "[B, 1]", "float32"),
        ("writes", "action_logprobs", "t", "[B]", "float32"),
    }
    assert ("reads", "action", "t-1", "[B, 1]", "float32") in rows(description, "environment")
    assert ("writes", "env/timestep", "t", "[B]", "int64") in rows(description, "environment")
    assert "from environment" in str(description) and "<td" in description._repr_html_()


def test_prefixes_and_equal_names_are_told_apart(env, policy):
    critic = ContinuousQAgent(3, [8], 1)
    target = copy.deepcopy(critic).with_prefix("target/")
    description = describe(TemporalAgent(Agents(env, policy, critic, target)))
    assert ("writes", "critic/q_values", "t", "[B, 2]", "float32") in rows(description, "ContinuousQAgent")
    assert ("writes", "target/q_values", "t", "[B, 2]", "float32") in rows(description, "ContinuousQAgent (2)")


def test_whole_variables_and_a_replay_buffer_as_input(env):
    class Mean(Agent):
        def forward(self, **kwargs):
            self.set("mean", self.get("env/reward").mean(0, keepdim=True))

    workspace = Workspace()
    TemporalAgent(Agents(env, RandomAgent(env.action_space)))(workspace, t=0, n_steps=5)
    buffer = ReplayBuffer(20, ["env/env_obs", "action", "env/reward", "env/terminated"])
    buffer.put(workspace)
    state = torch.get_rng_state()
    description = describe(Mean("mean"), inputs=buffer)
    assert torch.equal(torch.get_rng_state(), state)
    assert rows(description, "mean") == {
        ("reads", "env/reward", "all", "[T, B]", "float32"),
        ("writes", "mean", "all", "[T, B]", "float32"),
    }


def test_the_update_tells_replayed_from_fresh(tiny_sac):
    algorithm = SAC(tiny_sac)
    table = [(row.agent, row.variable, row.at, row.source) for row in describe(algorithm).rows if row.does == "reads"]
    assert ("critic", "action", "t", "replayed") in table
    assert ("critic", "action", "t", "from actor") in table  # for the actor's loss
    assert ("target-critic", "action", "t+1", "from actor") in table
    assert ("critic_loss", "env/reward", "t+1", "replayed") in table
    assert ("critic_loss", "action_logprobs", "t+1", "from actor") in table
    algorithm.train_env.close()


def test_what_fails_or_cannot_be_traced_is_said_below_tables_and_pictures(env):
    class Wilful(Agent):
        def forward(self, t, **kwargs):
            if self.get(("env/reward", t)).sum() >= 0:
                self.set(("action", t), torch.zeros(2, 1))

    wilful, alone = TemporalAgent(Agents(env, Wilful("wilful"))), ContinuousQAgent(3, [2], 1)
    for look in (describe, diagram):
        text = str(look(wilful))
        assert "agent 'wilful' (Wilful) was not traced to its end: what it does depends on the values of te" in text
        assert "agent 'ContinuousQAgent' reads variable 'env/env_obs' at step 0, which nobody writes" in str(
            look(alone)
        )
    picture = diagram(wilful)
    assert " ".join(texts(picture.svg())[-2:]).endswith(picture.notes[0])
    assert picture.notes == check(wilful).notes


def test_state_is_told_from_what_others_have_written(env, policy):
    composition = Agents(env, GRUAgent(3, 3, name="remembers"), KWAgentWrapper(policy, log_prob=True))
    found = {row.source for row in describe(TemporalAgent(composition)).rows if row.variable == "memory/hidden"}
    assert found == {"", "its own memory"}
