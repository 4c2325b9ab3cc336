"""Copies: what a trace runs leaves the originals alone."""

import copy
import types
import weakref
from functools import partial

import pytest
import torch

from tests.inspection.pieces import critic
from workspace_rl import (
    Agent,
    Agents,
    GymAgent,
    TemporalAgent,
    Workspace,
    check,
    minimise,
    setup_optimizer,
    soft_update,
)


class Recurrent(Agent):
    """State in the agent, statistics in its buffers, and torch's distributions, which check their parameters."""

    def __init__(self):
        super().__init__("recurrent")
        self.cell, self.norm, self.mean = torch.nn.GRUCell(3, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1)
        self.state = None

    def forward(self, t, **kwargs):
        self.state = self.cell(self.get(("env/env_obs", t)), None if t == 0 else self.state)
        distribution = torch.distributions.Normal(self.mean(self.norm(self.state)), 1.0)
        action = distribution.sample().clamp(-1, 1)
        self.set(("action", t), action)
        self.set(("action_logprobs", t), distribution.log_prob(action).sum(-1))


def test_agents_with_state_are_traced_and_keep_it(env):
    agent = Recurrent()
    problems = check(TemporalAgent(Agents(env, agent)))
    assert [one.kind for one in problems] == ["hidden memory"] and not problems.notes
    assert agent.state is None and agent.norm.num_batches_tracked == 0


def test_nothing_happens_to_agents_environments_or_random_numbers():
    class Remembers(Agent):
        def __init__(self):
            super().__init__("remembers")
            self.seen, self.last = [], None

        def forward(self, t, **kwargs):
            self.last = self.get(("env/env_obs", t))
            self.seen.append(self.last)
            self.set(("action", t), torch.rand(2, 1))

    env, memory = GymAgent("Pendulum-v1", 2), Remembers()
    before, state = dict(vars(env)), torch.get_rng_state()
    assert not check(TemporalAgent(Agents(env, memory)))
    assert memory.seen == [] and memory.last is None and memory.workspace is None
    assert vars(env) == before and env._episodes is None
    assert torch.equal(torch.get_rng_state(), state)
    assert type(Workspace()._new_variable("x", torch.ones(1))).__name__ == "Variable"
    env.close()


class Learner:
    """Holds what it trains, and changes it by itself."""

    def __init__(self):
        self.critic, self.target = critic(), critic(name="target-critic")
        self.optimizer = setup_optimizer({"classname": "torch.optim.Adam", "lr": 1e-3}, self.critic)

    def update(self, batch):
        soft_update(self.target, self.critic, 0.5)
        self.critic(batch, t=0)
        return minimise(batch.get("critic/q_values", 0).square().mean(), self.optimizer)

    def fail(self, batch):
        soft_update(self.target, self.critic, 0.5)
        return batch.get("action", 0) @ torch.zeros(7, 7)


@pytest.mark.parametrize("reached_by", ["object", "method", "partial", "default", "closure", "module"])
def test_what_a_function_trains_is_not_changed_however_it_is_reached(reached_by, env):
    learner, module = Learner(), types.ModuleType("module")
    module.learner = learner
    inner = lambda batch: learner.update(batch)  # noqa: E731
    part = partial(Learner.update, learner)
    update = {
        "object": lambda batch: Learner.update(learner, batch),
        "method": learner.update,
        "partial": lambda batch: part(batch),
        "default": lambda batch, learner=learner: learner.update(batch),
        "closure": lambda batch: inner(batch),
        "module": lambda batch: module.learner.update(batch),
    }[reached_by]
    before = copy.deepcopy([*learner.critic.parameters(), *learner.target.parameters()])
    problems = check(update, inputs={"env/env_obs": env.observation_space, "action": env.action_space})
    after = [*learner.critic.parameters(), *learner.target.parameters()]
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, after, strict=True))
    assert not learner.optimizer.state and not problems
    assert not problems.notes


def test_what_is_out_of_reach_is_not_changed_to_see_whether_an_error_is_real(env):
    learner = Learner()
    reference = weakref.ref(learner)
    before = copy.deepcopy([*learner.target.parameters()])
    assert check(lambda batch: reference().fail(batch), inputs={"action": env.action_space}).notes
    assert all(map(torch.equal, before, learner.target.parameters()))
