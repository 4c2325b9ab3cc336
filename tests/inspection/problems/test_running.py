"""Mistakes of docs/composition-mistakes.md in how agents run: exploration, loops, changes in place."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.inspection.learner import look
from tests.mistakes import expect
from workspace_rl import Agent, Agents, GymAgent, TemporalAgent, check
from workspace_rl.agents import EpsilonGreedyAgent, GreedyAgent, RandomAgent, SquashedGaussianActor
from workspace_rl.agents.exploration import GaussianNoiseAgent
from workspace_rl.algos import DQN, SAC
from workspace_rl.composition import KWAgentWrapper


class Tosses(Agent):
    """Acts at random now and then, by random numbers of its own."""

    def __init__(self, draw, probability=0.05):
        super().__init__("tosses")
        self.model, self.draw, self.probability = nn.Linear(3, 1), draw, probability
        self.generator, self.torch_generator = np.random.default_rng(0), torch.Generator()

    def forward(self, t, **kwargs):
        action = self.model(self.get(("env/env_obs", t))).tanh()
        draws = {
            "torch": lambda: float(torch.rand(1)),
            "numpy": lambda: np.random.rand(),
            "own": lambda: self.generator.random(),
            "own torch": lambda: float(torch.rand(1, generator=self.torch_generator)),
        }
        self.set(("action", t), -action if draws[self.draw]() < self.probability else action)


def sac(policy, config):
    algorithm = SAC(config)
    algorithm.eval_policy = policy(algorithm)
    problems = check(algorithm)
    algorithm.train_env.close()
    return problems


@pytest.mark.parametrize(
    "policy",
    [
        lambda one: one.actor,
        lambda one: one.policy,
        lambda one: KWAgentWrapper(one.actor, stochastic=True),
        lambda one: Agents(KWAgentWrapper(one.actor, stochastic=False), GaussianNoiseAgent(0.1, 0.5)),
        *(lambda one, draw=draw: Tosses(draw) for draw in ("torch", "numpy", "own", "own torch")),
    ],
)
def test_24_a_policy_that_explores_while_it_is_scored(policy, tiny_sac):
    expect(sac(policy, tiny_sac), 24, "exploration", "KWAgentWrapper(actor, stochastic=False)")


class Dropping(Agent):
    """Has dropout and noise for training only, and a memory."""

    def __init__(self):
        super().__init__("dropping")
        self.model, self.memory = (
            nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 1)),
            0.0,
        )

    def forward(self, t, **kwargs):
        action = self.model(self.get(("env/env_obs", t)))
        self.memory = self.memory + action.mean()
        noise = torch.randn_like(action) if self.training else 0
        self.set(("action", t), (action + noise + self.memory).tanh())


@pytest.mark.parametrize(
    "policy",
    [
        lambda one: KWAgentWrapper(one.actor, stochastic=False),
        lambda one: Agents(KWAgentWrapper(one.actor, stochastic=False), GaussianNoiseAgent(0.0, 0.5)),
        lambda one: Dropping(),
        lambda one: RandomAgent(one.train_env.action_space),  # nothing in it has learned
        *(lambda one, draw=draw: Tosses(draw, 0.0) for draw in ("torch", "numpy", "own", "own torch")),
    ],
)
def test_24_policies_that_do_not(policy, tiny_sac):
    assert not sac(policy, tiny_sac)


@pytest.mark.parametrize("epsilon", [0.0, 0.02])
def test_24_for_choices(epsilon, tiny_sac):
    tiny_sac["gym_env"]["env_name"] = "CartPole-v1"
    del tiny_sac["algorithm"]["architecture"]
    algorithm = DQN(tiny_sac)
    algorithm.eval_policy = Agents(algorithm.q_agent, EpsilonGreedyAgent(epsilon, epsilon, 1))
    problems = check(algorithm)
    assert [one.kind for one in problems] == (["exploration"] if epsilon else [])
    algorithm.eval_policy = Agents(algorithm.q_agent, GreedyAgent())
    assert not check(algorithm)
    algorithm.train_env.close()


@pytest.mark.parametrize("variable", ["env/done", "env/terminated", "env/truncated"])
def test_25_stopping_where_environments_reset_themselves(env, variable):
    actor = SquashedGaussianActor(3, [8], 1, name="actor")
    loop = TemporalAgent(Agents(env, actor))
    problems = check(loop, stop_variable=variable)
    assert [one.kind for one in problems] == ["stop"] and repr(variable) in problems[0].message
    if variable == "env/done":
        expect(problems, 25, "stop", "'GymAgent' resets each of its environments by itself")
    assert not check(loop, stop_variable=variable, n_steps=10)
    for right in (GymAgent("Pendulum-v1", 2, auto_reset=False), GymAgent("Pendulum-v1", 1)):
        assert not check(TemporalAgent(Agents(right, actor)), stop_variable=variable)
        right.close()


def test_25_in_a_function_that_collects(env):
    loop = TemporalAgent(Agents(env, SquashedGaussianActor(3, [8], 1)))

    def collect(workspace):
        loop(workspace, t=0, stop_variable="env/done")

    assert "stop" in [one.kind for one in check(collect)]


class Scales(Agent):
    """Changes what it reads, in one of several ways."""

    def __init__(self, how):
        super().__init__("scales")
        self.how = how

    def forward(self, t, **kwargs):
        value = self.get(("env/env_obs", t))
        match self.how:
            case "operator":
                value /= 10
            case "method":
                value.clamp_(-1, 1)
            case "item":
                value[:, 0] = 0.0
            case "part":
                value[:, 1:].mul_(2)
            case "out":
                torch.tanh(value, out=value)
            case "relu":
                nn.ReLU(inplace=True)(value)
            case "no_grad":
                with torch.no_grad():
                    value.add_(1)
            case "new":
                value = value / 10
            case "clone":
                value = value.clone().div_(10)
            case "back":
                value = self.get(("env/env_obs", t)).div_(10)
                self.set(("env/env_obs", t), value)
        self.set(("action", t), value[:, :1])


@pytest.mark.parametrize("how", ["operator", "method", "item", "part", "out", "relu", "no_grad"])
def test_26_what_was_read_is_changed_in_place(env, how):
    problems = check(TemporalAgent(Agents(env, Scales(how))))
    expect(problems, 26, "changed in place", "agent 'scales' (Scales)", "read")


@pytest.mark.parametrize("how", ["new", "clone", "back", ""])
def test_26_what_changes_nothing_of_others(env, how):
    assert not check(TemporalAgent(Agents(env, Scales(how))))


class Counts(Agent):
    """Normalises observations by statistics that it updates itself; counts its calls, and remembers what it saw."""

    def __init__(self, actor, updates):
        super().__init__("counts")
        self.actor, self.updates = actor, updates
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("var", torch.ones(3))
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("memory", torch.zeros(1, 3))

    def forward(self, t, **kwargs):
        observation = self.get(("env/env_obs", t))
        if self.updates:
            self.mean = self.mean + 0.1 * (observation.mean(0) - self.mean)
            self.var += 0.1 * (observation.var(0, unbiased=False) - self.var)
        self.calls += 1
        self.memory = observation
        self.actor(self.workspace, t=t, **kwargs)


@pytest.mark.parametrize("name", ["policy", "eval_policy"])
def test_27_statistics_are_updated_by_acting(name, tiny_sac):
    algorithm = SAC(tiny_sac)
    for updates in (False, True):
        setattr(algorithm, name, Counts(KWAgentWrapper(algorithm.actor, stochastic=False), updates))
        problems = check(algorithm)
        if updates:
            expect(problems, 27, "statistics", "agent 'counts' (Counts)", "ObservationNormalizer")
            assert "'calls'" not in problems[0].message and "'memory'" not in problems[0].message
        else:
            assert not problems
    algorithm.train_env.close()


def test_26_what_was_written_is_changed_in_place(env):
    class Reuses(Agent):
        def __init__(self):
            super().__init__("reuses")
            self.action = torch.zeros(2, 1)

        def forward(self, t, **kwargs):
            self.action.uniform_(-1, 1)
            self.set(("noise", t), self.action)

    problems = check(TemporalAgent(Agents(env, SquashedGaussianActor(3, [8], 1), Reuses())))
    assert [one.kind for one in problems] == ["changed in place"] and "after it was written" in problems[0].message


def test_26_in_a_loss():
    def normalised(one, ws):
        value = ws.get("env/reward", 1)
        value /= 10
        return value + ws.get("discount", 1) * one.next_value(ws)

    problems = look(normalised)
    assert [one.kind for one in problems] == ["changed in place"] and "'env/reward' at step 1" in problems[0].message
    assert not look(lambda one, ws: ws.get("env/reward", 1) / 10 + ws.get("discount", 1) * one.next_value(ws))
