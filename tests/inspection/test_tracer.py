"""What a trace sees: agents of any class, whom losses train, and where it is at its end."""

import pytest
import torch
from torch import nn

from tests.inspection.pieces import FAST, rows
from workspace_rl import Agent, Agents, TemporalAgent, check, describe
from workspace_rl.agents import ContinuousQAgent
from workspace_rl.algorithm.names import find_algorithm
from workspace_rl.algos import SAC
from workspace_rl.inspection.tracing.tracer import trace


class Foreign(nn.Module):
    """An agent of no class of this library."""

    def __init__(self):
        super().__init__()
        self.workspace, self.model = None, nn.Linear(3, 1)
        self.get_by_name = self.seed = self.set_name = None

    def get(self, index):
        return self.workspace.get(*index)

    def set(self, index, value):
        self.workspace.set(*index, value)

    def __call__(self, workspace, **kwargs):
        self.workspace = workspace
        self.forward(**kwargs)

    def forward(self, t, **kwargs):
        self.set(("action", t), self.model(self.get(("env/env_obs", t))).tanh())


def test_agents_of_other_packages_are_traced(env):
    foreign = Foreign()
    description = describe(TemporalAgent(Agents(env, foreign)))
    assert ("reads", "env/env_obs", "t", "[B, 3]", "float32") in rows(description, "Foreign")
    assert not check(TemporalAgent(Agents(env, foreign))) and foreign.workspace is None


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("sac", {"critic_loss": ["critic"], "actor_loss": ["actor"], "entropy_coef_loss": ["entropy_coef"]}),
        ("td3", {"critic_loss": ["critic"], "actor_loss": ["actor"]}),
        ("crossq", {"critic_loss": ["critic"], "actor_loss": ["actor"], "entropy_coef_loss": ["entropy_coef"]}),
        ("tqc", {"critic_loss": ["critic"], "actor_loss": ["actor"], "entropy_coef_loss": ["entropy_coef"]}),
        (
            "sac_discrete",
            {"critic_loss": ["critic-0", "critic-1"], "actor_loss": ["actor"], "entropy_coef_loss": ["entropy_coef"]},
        ),
        ("dqn", {"critic_loss": ["q"]}),
    ],
)
def test_a_trace_knows_whom_each_loss_trains(name, trained):
    environment = "CartPole-v1" if name in ("dqn", "sac_discrete") else "Pendulum-v1"
    settings = {"total_steps": 100_000}
    algorithm = find_algorithm(name)({"gym_env": {"env_name": environment}, "algorithm": settings, **FAST})
    traced = trace(algorithm)
    algorithm.train_env.close()
    assert {one.losses[0]: [*one.trains] for one in traced.trainings if one.part == traced.parts[-1]} == trained
    undelayed = [one.losses[0] for one in traced.trainings if one.part == "update, not delayed"]
    assert undelayed == (["critic_loss"] if name in ("td3", "crossq") else [])


@pytest.mark.parametrize("how", ["backward", "grad", "several"])
def test_a_trace_knows_whom_a_loss_trains_however_its_gradient_is_computed(how):
    critic, other = ContinuousQAgent(3, [4], 1, name="critic"), nn.Linear(3, 1)
    optimizer = torch.optim.Adam([*critic.parameters(), *other.parameters()])
    idle = torch.optim.Adam(ContinuousQAgent(3, [4], 1).parameters())

    def update(batch):
        critic(batch, t=0)
        loss = batch.get("critic/q_values", 0).mean()
        optimizer.zero_grad()
        if how == "several":
            torch.autograd.backward([loss])
        elif how == "backward":
            (loss + other(batch.get("env/env_obs", 0)).mean()).backward()
        else:
            parameters = [*critic.parameters()]
            for one, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                one.grad = gradient
        optimizer.step()
        idle.zero_grad()

    inputs = {"env/env_obs": torch.zeros(2, 4, 3), "action": torch.zeros(2, 4, 1)}
    (training,) = trace(update, inputs).trainings
    assert training.optimizer == "optimizer"
    assert training.trains == (("critic", "other") if how == "backward" else ("critic",))


def test_what_was_replaced_on_an_object_is_not_run(tiny_sac):
    algorithm, calls = SAC(tiny_sac), []
    algorithm.update = lambda batch: calls.append(batch)
    problems = check(algorithm)
    assert not problems and not calls and "replaced on the object" in problems.notes[0]


class DependsOnValues(Agent):
    """Its program depends on what a tensor holds; it must not be refused."""

    def forward(self, t, **kwargs):
        observation = self.get(("env/env_obs", t))
        if observation[:, 0].mean() > 0:
            self.set(("action", t), observation[:, :1].clamp(-1, 1))
        else:
            self.set(("action", t), torch.from_numpy(observation.numpy()[:, :1].clip(-1, 1)))


def test_what_cannot_be_traced_is_said_and_not_refused(env):
    problems = check(TemporalAgent(Agents(env, DependsOnValues("wilful"))))
    assert not problems
    assert "agent 'wilful' (DependsOnValues) was not traced to its end" in problems.notes[0]
