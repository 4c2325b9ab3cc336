"""Looking changes nothing: what is inspected is afterwards what it was before, and all within its reach."""

import collections
import copy
import functools
import itertools
import logging
import random
import threading
import types
from dataclasses import dataclass, field

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from tests.fingerprints import differences, fingerprint
from workspace_rl import Agent, Agents, GymAgent, ReplayBuffer, TemporalAgent, Workspace, check, describe, diagram
from workspace_rl.agents import ContinuousQAgent, SquashedGaussianActor
from workspace_rl.algorithm.names import find_algorithm
from workspace_rl.algos import SAC
from workspace_rl.learning import minimise, setup_optimizer
from workspace_rl.plots import critic_map, episode_values, policy_map, value_plot

LOOKS = (check, describe, diagram)
ADAM = {"classname": "torch.optim.Adam", "lr": 1e-3}


@pytest.fixture(scope="module")
def env():
    agent = GymAgent("Pendulum-v1", 2)
    yield agent
    agent.close()


def filled(n_steps=4):
    """Return a workspace that was written step by step, so that whole variables are stacked when they are read."""
    workspace = Workspace()
    for t in range(n_steps):
        workspace.set("env/env_obs", t, torch.rand(3, 3))
        workspace.set("action", t, torch.rand(3, 1))
        workspace.set("env/reward", t, torch.rand(3))
        for name in ("terminated", "done"):
            workspace.set(f"env/{name}", t, torch.zeros(3, dtype=torch.bool))
    return workspace


def loss(workspace):
    return (workspace["env/reward"][1] - workspace["env/env_obs"][0].sum(-1)).square().mean()


@pytest.mark.parametrize("look", LOOKS)
def test_a_workspace_that_was_an_input_stays_real(look):
    workspace, other = filled(), filled()
    for name in workspace:
        for t in range(4):
            other.set(name, t, workspace.get(name, t))
    before = fingerprint(workspace)
    look(loss, inputs=workspace)
    assert not differences(before, fingerprint(workspace))
    assert type(loss(workspace)) is torch.Tensor and torch.equal(loss(workspace), loss(other))
    pairs, same = workspace.get_transitions(), other.get_transitions()
    assert all(torch.equal(pairs[name], same[name]) for name in same)


@pytest.mark.parametrize("look", LOOKS)
def test_a_replay_buffer_that_was_an_input_stays_as_it_was(look):
    buffer = ReplayBuffer(20, ["env/env_obs", "action", "env/reward", "env/terminated"])
    buffer.put(filled())
    before = fingerprint(buffer)
    look(loss, inputs=buffer)
    assert not differences(before, fingerprint(buffer))
    assert type(buffer.sample(5)["env/reward"]) is torch.Tensor


def test_spaces_and_environments_that_were_inputs_keep_their_random_numbers(env):
    critic, space = ContinuousQAgent(3, [4], 1), gym.spaces.Box(-1, 1, (3,))
    space.seed(3)
    before = fingerprint(space, env, critic)
    check(critic, inputs={"env/env_obs": space, "action": env.action_space})
    check(critic, inputs=env)
    assert not differences(before, fingerprint(space, env, critic))


# ---- what a program reaches ---------------------------------------------------------------------------------------


@dataclass
class Statistics:
    n: int = 0
    values: list = field(default_factory=list)


class Slotted:
    __slots__ = ("last",)

    def __init__(self):
        self.last = None


class Everything(Agent):
    """Changes whatever an agent can hold."""

    seen_by_all: list = []
    count = 0

    def __init__(self, log, holder, note):
        super().__init__("everything")
        self.model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
        self.log, self.holder, self.note = log, holder, note
        self.statistics, self.slotted = Statistics(), Slotted()
        self.numbers, self.table, self.chosen = collections.deque([1, 2], maxlen=3), {"n": 0}, {1}
        self.generator, self.draws = np.random.default_rng(3), torch.Generator().manual_seed(3)
        self.python, self.counter = random.Random(3), itertools.count()
        self.array, self.moving = np.zeros(3), torch.zeros(3)
        self.memory = Workspace()
        self.buffer = ReplayBuffer(9, ["x"])
        self.hidden = types.SimpleNamespace(part=functools.partial(nn.Linear(3, 1)))
        self.lock = threading.Lock()
        self.remembered = functools.lru_cache(lambda n: [n])
        self.append = self.statistics.values.append

    def forward(self, t, **kwargs):
        value = self.get(("env/env_obs", t))
        self.log.append(value)
        self.note(value)
        self.append(value)
        self.holder.model.weight.data = self.holder.model.weight.data * 2
        self.holder.model.weight.requires_grad_(False)
        self.holder.model.eval()
        self.hidden.part.func.register_forward_hook(lambda *args: None)
        self.statistics.n += 1
        self.slotted.last = value
        self.numbers.append(value), self.table.update(n=value), self.chosen.add(self.table["n"].shape)
        self.generator.random(), self.python.random(), next(self.counter)
        random.random(), np.random.rand(), torch.rand(3)
        torch.rand(3, generator=self.draws)
        self.array += 1
        self.moving += value.mean(0)
        self.memory.set("x", t, value)
        with self.lock:
            self.remembered(3).append(value)
        type(self).seen_by_all.append(value)
        type(self).count += 1
        HISTORY.append(value)
        globals()["ROUNDS"] = ROUNDS + 1
        self.eval()
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
            parameter.grad = torch.ones_like(parameter)
        self.set(("action", t), self.model(value).tanh().detach())


HISTORY: list = []
ROUNDS = 0


class Holder:
    """Hides a module."""

    def __init__(self):
        self.model = nn.Linear(3, 1)


def everything():
    log, holder, kept = [], Holder(), {"values": []}
    return Everything(log, holder, lambda value: kept["values"].append(value)), log, holder, kept


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_that_an_agent_reaches_is_changed(env, look, fails):
    agent, *others = everything()
    agent.model(torch.rand(5, 3)).sum().backward()  # between two steps: there are gradients
    agent.moving += 1
    roots = (agent, env, *others, HISTORY, vars(Everything)["seen_by_all"])

    class Fails(Agent):
        def forward(self, t, **kwargs):
            agent.log.append(t)
            raise ValueError("in the middle")

    parts = [agent, Fails()] if fails else [agent]
    before = fingerprint(*roots), ROUNDS, Everything.count, dict(vars(Everything))
    look(TemporalAgent(Agents(env, *parts)))
    after = fingerprint(*roots), ROUNDS, Everything.count, dict(vars(Everything))
    assert not differences(before[0], after[0]) and before[1:] == after[1:]


def test_the_program_that_reaches_everything_is_traced(env):
    agent, *_ = everything()
    found = check(TemporalAgent(Agents(env, agent)))
    assert not found and not found.notes


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_that_a_function_reaches_is_changed(fails):
    critic = ContinuousQAgent(3, [4], 1, name="critic")
    optimizer = setup_optimizer(ADAM, critic)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    constant = torch.tensor(0.5, requires_grad=True)
    workspace, buffer, losses, n, array = filled(), ReplayBuffer(9, ["env/reward"]), [], 0, np.zeros(2)
    buffer.put(workspace)

    def update(batch, history=losses, *, log={}):  # noqa: B006
        nonlocal n
        n += 1
        critic(batch, t=0)
        error = (batch.get("critic/q_values", 0).mean() - workspace["env/reward"].mean() * constant).square()
        minimise(error, optimizer)
        scheduler.step()
        history.append(error)
        log["last"] = error
        update.calls += 1
        array[:] = n
        workspace.set("new", 0, error.expand(3))
        buffer.sample(2)
        buffer.put(workspace)
        optimizer.param_groups[0]["lr"] = 3.0
        optimizer.zero_grad()
        if fails:
            raise ValueError("in the middle")

    update.calls = 0
    spaces = {name: torch.zeros(2, 5, *shape) for name, shape in {"env/env_obs": (3,), "action": (1,)}.items()}
    roots = (update, vars(update), update.__kwdefaults__, scheduler)
    before = fingerprint(*roots)
    for look in LOOKS:
        look(update, inputs=spaces)
    assert not differences(before, fingerprint(*roots))


class Talks(Agent):
    """Writes files, logs, prints, and asks iterators."""

    def __init__(self, folder, file, generator):
        super().__init__("talks")
        self.folder, self.file, self.generator, self.logger = folder, file, generator, logging.getLogger("talks")

    def forward(self, t, what="", **kwargs):
        self.file.write("x")
        self.logger.warning("heard")
        logging.getLogger("others").warning("heard")
        print("heard")
        match what:
            case "open":
                (self.folder / "a").write_text("x")
            case "save":
                torch.save({}, self.folder / "b")
            case "folder":
                (self.folder / "c").mkdir()
            case "array":
                np.save(self.folder / "d.npy", np.zeros(3))
            case "next":
                next(self.generator)
        self.set(("action", t), torch.zeros(2, 1))


@pytest.mark.parametrize("what", ["", "open", "save", "folder", "array", "next"])
def test_files_logs_and_iterators_are_left_alone(env, tmp_path, what, capsys, caplog):
    generator = (number for number in range(9))
    with (tmp_path / "log").open("w") as file:
        found = check(TemporalAgent(Agents(env, Talks(tmp_path, file, generator))), what=what)
    assert not found and len(found.notes) == (1 if what else 0)
    assert next(generator) == 0
    assert [one.name for one in tmp_path.iterdir()] == ["log"] and not (tmp_path / "log").read_text()
    assert not capsys.readouterr().out and not caplog.records


def test_a_run_and_its_algorithm_are_left_alone_before_between_and_after(tiny_sac, tmp_path):
    algorithm = SAC(tiny_sac)
    for _ in range(2):
        before = fingerprint({**vars(algorithm), "config": None})
        for look in LOOKS:
            look(algorithm)
        assert not differences(before, fingerprint({**vars(algorithm), "config": None}))
        if not algorithm.steps:
            algorithm.train(progress=False)


@pytest.mark.parametrize("name", ["sac", "td3", "dqn"])
def test_a_run_that_was_looked_at_is_the_same_to_the_bit(name, tiny_sac, tmp_path):
    outcomes = []
    for looked in (False, True):
        tiny_sac["gym_env"]["env_name"] = "CartPole-v1" if name == "dqn" else "Pendulum-v1"
        tiny_sac["algorithm"] |= {"total_steps": 160, "eval_interval": 80, "final_episodes": 0, "architecture": {}}
        tiny_sac["base_dir"] = str(tmp_path / f"{looked}")
        algorithm = find_algorithm(name)(tiny_sac)
        learn = algorithm.learn

        def looking(batch, algorithm=algorithm, learn=learn):
            if algorithm.n_updates == 2:
                check(algorithm), diagram(algorithm), describe(algorithm.update, inputs=batch)
            return learn(batch)

        if looked:
            check(algorithm)
            algorithm.learn = looking
        result = algorithm.train(progress=False)
        weights = [one.detach().clone() for one in algorithm.eval_policy.parameters()]
        outcomes.append((weights, (result.run / "metrics.csv").read_bytes()))
    (weights, metrics), (looked_weights, looked_metrics) = outcomes
    assert all(map(torch.equal, weights, looked_weights)) and metrics == looked_metrics


def test_tables_of_workspaces_and_agents_are_read_only():
    workspace, agent = filled(), SquashedGaussianActor(3, [4], 1)
    before = fingerprint(workspace, agent)
    repr(workspace), workspace._repr_html_(), repr(agent), agent.description()
    assert not differences(before, fingerprint(workspace, agent))
    before = {name: copy.copy(workspace.get_full(name)) for name in workspace}
    workspace.plot("env/reward")
    assert all(torch.equal(workspace.get_full(name), before[name]) for name in before)


class Wandering(Agent):
    """Acts by what it remembers, and is a critic, too."""

    def __init__(self, log):
        super().__init__("wandering")
        self.model, self.steps, self.log = nn.Sequential(nn.Linear(3, 1), nn.BatchNorm1d(1), nn.Dropout()), 0, log
        self.generator = np.random.default_rng(1)
        self.noise = lambda: log.append(self.generator.random())

    def forward(self, t, **kwargs):
        value = self.model(self.get(("env/env_obs", t)))
        self.noise(), random.random(), torch.rand(1), np.random.rand()
        self.steps += 1
        HISTORY.append(self.steps)
        self.set(("action", t), (value + 0.01 * self.steps).tanh())
        self.set(("value", t), value.squeeze(-1))


def test_pictures_that_act_change_nothing():
    log = []
    agent, env = Wandering(log), GymAgent("Pendulum-v1", 1, auto_reset=False)
    space = env.observation_space
    before = fingerprint(agent, log, HISTORY, space)
    policy_map(agent, space, axes=(0,), resolution=5)
    critic_map(agent, space, value_variable="value", axes=(0, 1), resolution=5)
    critic_map(agent, space, value_variable="value", policy=agent, axes=(0,), resolution=5)
    value_plot(episode_values(env, agent, value_variable="value", discount_factor=0.9))
    value_plot(episode_values(env, agent, agent, value_variable="value", discount_factor=0.9))
    assert not differences(before, fingerprint(agent, log, HISTORY, space))
    env.close()
