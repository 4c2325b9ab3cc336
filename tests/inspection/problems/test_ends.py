"""Mistakes of docs/composition-mistakes.md with windows in which an episode ends: losses without a mask."""

import pytest
import torch
from torch import nn

from tests.inspection.pieces import ADAM, actor, critic
from tests.mistakes import expect
from workspace_rl import Agent, check, gae, minimise, setup_optimizer
from workspace_rl.algorithm.names import find_algorithm
from workspace_rl.experience.returns import n_step_transitions
from workspace_rl.inspection.tracing.ends import learns_from_resets
from workspace_rl.inspection.tracing.tracer import trace

T, B = 5, 6


def windows(n_steps=T):
    shape = (n_steps, B)
    flags = {f"env/{name}": torch.zeros(shape, dtype=torch.bool) for name in ("terminated", "truncated", "done")}
    timestep = torch.zeros(shape, dtype=torch.int64)
    observation, action = torch.zeros(*shape, 3), torch.zeros(*shape, 1)
    numbers = {"env/env_obs": observation, "env/reward": torch.zeros(shape), "env/timestep": timestep}
    return {**numbers, **flags, "action": action, "weight": torch.ones(shape)}


class Judges(Agent):
    """A recurrent value, over all of time at once."""

    def __init__(self):
        super().__init__("value")
        self.cell, self.head = nn.GRUCell(3, 8), nn.Linear(8, 1)

    def forward(self, t=None, **kwargs):
        state, values = torch.zeros(B, 8), []
        for one, timestep in zip(self.get("env/env_obs"), self.get("env/timestep"), strict=True):
            state = self.cell(one, state[: len(one)] * (timestep > 0).unsqueeze(-1))
            values.append(self.head(state).squeeze(-1))
        self.set("value", torch.stack(values))


def learning(mask, returns=None):
    """Return an update of a sequence's values, whose errors `mask` weighs."""
    value = Judges()
    optimizer = setup_optimizer(ADAM, value)

    def one_step(batch, values):
        terminated, reward = batch["env/terminated"], batch["env/reward"]
        return reward[1:] + 0.99 * (~terminated[1:]).float() * values[1:].detach()

    def update(batch):
        value(batch)
        values = batch["value"]
        errors = (values[:-1] - (returns or one_step)(batch, values)).square()
        weight = mask(batch)
        loss = errors.mean() if weight is None else (errors * weight).sum() / weight.sum()
        return {"loss": minimise(loss, optimizer)}

    return update


def advantages(trace):
    def returns(batch, values):
        reward, terminated, done = batch["env/reward"], batch["env/terminated"], batch["env/done"]
        masks = {"bootstrap": ~terminated[1:], "trace": trace(done)}
        values = values.detach()
        return gae(reward[1:], values[:-1], values[1:], **masks, discount_factor=0.9, gae_lambda=0.9) + values[:-1]

    return returns


@pytest.mark.parametrize(
    ("update", "n_problems"),
    [
        (lambda: learning(lambda batch: None), 1),
        (lambda: learning(lambda batch: ~batch["env/done"][1:]), 1),  # the mask of another step
        (lambda: learning(lambda batch: ~batch["env/terminated"][:-1]), 1),  # truncated ones count
        (lambda: learning(lambda batch: ~batch["env/done"][:-1]), 0),
        (lambda: learning(lambda batch: batch["env/timestep"][1:] > 0), 0),
        (lambda: learning(lambda batch: batch["weight"][:-1]), 0),
        (lambda: learning(lambda batch: ~batch["env/done"][:-1], advantages(lambda done: ~done[1:])), 0),
        (lambda: learning(lambda batch: ~batch["env/done"][:-1], advantages(lambda done: ~done[1:] | True)), 1),
    ],
)
def test_39_sequences_without_a_mask(update, n_problems):
    problems = check(update(), inputs=windows())
    assert [one.kind for one in problems] == ["no mask"] * n_problems, problems
    if n_problems:
        expect(problems, 39, "no mask", "the loss of 'optimizer'", "~done")


def test_39_windows_of_transitions_need_none():
    judge, policy = critic(), actor()
    target = judge.clone().with_prefix("target-critic/").set_name("target-critic")
    optimizer = setup_optimizer(ADAM, judge)

    def update(batch):
        workspace = n_step_transitions(batch, 0.99)
        with torch.no_grad():
            policy(workspace, t=1)
            target(workspace, t=1)
        judge(workspace, t=0)
        bootstrap = workspace.get("discount", 1) * workspace.get("target-critic/q_values", 1).amin(-1)
        errors = workspace.get("critic/q_values", 0) - (workspace.get("env/reward", 1) + bootstrap).unsqueeze(-1)
        return {"loss": minimise(errors.square().mean(), optimizer)}

    for n_steps in (2, 4):
        assert not check(update, inputs=windows(n_steps))


@pytest.mark.parametrize("name", ["ppo", "a2c", "reinforce", "sac", "dqn"])
def test_39_the_library_learns_from_none(name):
    algorithm = {"n_step_return": 3} if name in ("sac", "dqn") else {"n_envs": 2}
    config = {"gym_env": {"env_name": "CartPole-v1" if name == "dqn" else "Pendulum-v1"}, "compile": False}
    found = find_algorithm(name)(config | {"algorithm": {"total_steps": 20_000, **algorithm}})
    traced = trace(found)
    assert traced.frames and not traced.failures
    assert learns_from_resets(found, traced.frames, traced.flags) == []
    found.train_env.close()
