"""Mistakes in losses, policies and loops, in several ways of writing them, and what is right beside each."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.mistakes import expect
from workspace_rl import Agent, Agents, GymAgent, TemporalAgent, check, minimise, setup_optimizer
from workspace_rl.agents import (
    ContinuousQAgent,
    DiscreteQAgent,
    EpsilonGreedyAgent,
    GreedyAgent,
    RandomAgent,
    SquashedGaussianActor,
)
from workspace_rl.agents.exploration import GaussianNoiseAgent
from workspace_rl.algos import DQN, SAC, TD3
from workspace_rl.composition import KWAgentWrapper
from workspace_rl.experience.returns import n_step_transitions

ADAM = {"classname": "torch.optim.Adam", "lr": 1e-3}


@pytest.fixture(scope="module")
def env():
    agent = GymAgent("Pendulum-v1", 2)
    yield agent
    agent.close()


def batch(n_steps=1, discrete=False):
    shape = (n_steps + 1, 5)
    action = torch.zeros(shape, dtype=torch.int64) if discrete else torch.zeros(*shape, 1)
    flags = {f"env/{name}": torch.zeros(shape, dtype=torch.bool) for name in ("terminated", "truncated", "done")}
    return {"env/env_obs": torch.zeros(*shape, 3), "action": action, "env/reward": torch.zeros(shape), **flags}


class Learner:
    """Critic, target critic and actor; `target` and `prediction` say what is fitted to what."""

    def __init__(self, target, prediction=None, compare=None, use="critic"):
        self.actor = SquashedGaussianActor(3, [8], 1, name="actor")
        self.critic = ContinuousQAgent(3, [8], 1, n_critics=1, name="critic")
        self.target_critic = copy.deepcopy(self.critic).with_prefix("target-critic/").set_name("target-critic")
        self.optimizer = setup_optimizer(ADAM, self.critic)
        self.target, self.use = target, use
        self.prediction = prediction or (lambda one, workspace: one.judge(workspace, one.critic, 0))
        self.compare = compare or (lambda q, target: (q - target).square().mean())

    def judge(self, workspace, critic, t, no_grad=False):
        with torch.set_grad_enabled(not no_grad):
            critic(workspace, t=t)
        return workspace.get(f"{critic.prefix or 'critic/'}q_values", t).squeeze(-1)

    def next_value(self, workspace, critic=None, no_grad=True):
        with torch.no_grad():
            self.actor(workspace, t=1)
        return self.judge(workspace, critic or self.target_critic, 1, no_grad)

    def update(self, batch):
        workspace = n_step_transitions(batch, 0.99)
        q_value = self.prediction(self, workspace)
        loss = self.compare(q_value, self.target(self, workspace))
        return {"loss": minimise(loss, self.optimizer)}


def look(target, *args, n_steps=1, **kwargs):
    return check(Learner(target, *args, **kwargs).update, inputs=batch(n_steps))


def reward(workspace):
    return workspace.get("env/reward", 1)


def discounted(one, workspace, **kwargs):
    """The right target."""
    return reward(workspace) + workspace.get("discount", 1) * one.next_value(workspace, **kwargs)


LOSSES = {
    "square": lambda q, y: (q - y).square().mean(),
    "mse": lambda q, y: functional.mse_loss(q, y),
    "huber": lambda q, y: functional.huber_loss(q, y),
    "module": lambda q, y: nn.MSELoss()(q, y),
    "turned round": lambda q, y: ((y - q) ** 2).sum(),
    "weighed": lambda q, y: (torch.linspace(0, 1, 5) * (q - y).pow(2)).mean(),
    "by hand": lambda q, y: torch.where((q - y).abs() < 1, 0.5 * (q - y) ** 2, (q - y).abs() - 0.5).mean(),
}


@pytest.mark.parametrize("compare", LOSSES.values(), ids=LOSSES)
def test_19_a_target_without_detach(compare):
    def attached(one, workspace):
        return discounted(one, workspace, critic=one.critic, no_grad=False)

    expect(look(attached, compare=compare), 19, "no detach", "'optimizer' trains it")
    assert not look(lambda one, ws: attached(one, ws).detach(), compare=compare)
    assert not look(lambda one, ws: discounted(one, ws, critic=one.critic), compare=compare)
    assert not look(
        lambda one, ws: discounted(one, ws, no_grad=False), compare=compare
    )  # a target network is not trained


def test_19_where_the_value_of_what_follows_comes_last():
    def update(detach):
        def error(one, workspace):
            value = one.next_value(workspace, one.critic, no_grad=False)
            return one.judge(workspace, one.critic, 0) - reward(workspace), detach(value) * workspace.get("discount", 1)

        learner = Learner(None)

        def run(batch):
            difference, following = error(learner, n_step_transitions(batch, 0.99))
            minimise((difference - following).square().mean(), learner.optimizer)

        return run

    assert [one.kind for one in check(update(lambda value: value), inputs=batch())] == ["no detach"]
    assert not check(update(lambda value: value.detach()), inputs=batch())


def plain(mistake=None):
    """Return an update without agents: a network, whole variables, and what the course's notebooks do."""
    value, optimizer_of = nn.Linear(3, 1), nn.Linear(3, 1)
    optimizer = torch.optim.Adam(value.parameters())
    del optimizer_of

    def update(batch):
        observation, rewards, terminated, done = batch["env/env_obs", "env/reward", "env/terminated", "env/done"]
        values = value(observation).squeeze(-1)
        following = values[1:] if mistake == "attached" else values[1:].detach()
        if mistake != "forever":
            following = following * ~(done if mistake == "done" else terminated)[1:]
        target = rewards[1:] + 0.99 * following
        loss = functional.mse_loss(values[:-1], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return update


@pytest.mark.parametrize(
    ("mistake", "kinds"),
    [(None, []), ("attached", ["no detach"]), ("done", ["time limit"]), ("forever", ["no discount"])],
)
@pytest.mark.parametrize("n_steps", [1, 7])
def test_19_to_21_without_agents_and_over_whole_variables(mistake, kinds, n_steps):
    assert [one.kind for one in check(plain(mistake), inputs=batch(n_steps))] == kinds


def masked(mask):
    return lambda one, ws: reward(ws) + 0.99 * mask(ws).float() * one.next_value(ws)


def flag(ws, name, t=1):
    return ws.get(f"env/{name}", t)


@pytest.mark.parametrize(
    "target",
    [
        masked(lambda ws: ~flag(ws, "done")),
        masked(lambda ws: 1 - flag(ws, "done").float()),
        lambda one, ws: reward(ws) + ws.get("discount", 1) * ~flag(ws, "done") * one.next_value(ws),
        lambda one, ws: torch.where(flag(ws, "done"), reward(ws), reward(ws) + 0.9 * one.next_value(ws)),
        lambda one, ws: reward(ws) + 0.9 * one.next_value(ws).masked_fill(flag(ws, "done"), 0.0),
        lambda one, ws: torch.addcmul(reward(ws), (~flag(ws, "done")).float(), one.next_value(ws), value=0.9),
    ],
)
def test_20_done_where_terminated_is_meant(target):
    expect(look(target), 20, "time limit", "Use 'env/terminated'")


def in_place(one, ws):
    value = one.next_value(ws).clone()
    value[flag(ws, "terminated")] = 0.0
    return reward(ws) + 0.99 * value


@pytest.mark.parametrize(
    "target",
    [
        discounted,
        masked(lambda ws: ~flag(ws, "terminated")),
        masked(lambda ws: ~flag(ws, "done") | flag(ws, "truncated")),
        masked(lambda ws: ~(flag(ws, "done") & ~flag(ws, "truncated"))),
        lambda one, ws: torch.where(flag(ws, "terminated"), reward(ws), reward(ws) + 0.9 * one.next_value(ws)),
        lambda one, ws: reward(ws) + 0.9 * one.next_value(ws).masked_fill(flag(ws, "terminated"), 0.0),
        lambda one, ws: torch.addcmul(reward(ws), ws.get("discount", 1), one.next_value(ws)),
        lambda one, ws: reward(ws).clamp(-1, 1) + ws.get("discount", 1) * one.next_value(ws).clamp(-9, 9),
        in_place,
    ],
)
@pytest.mark.parametrize("n_steps", [1, 3])
def test_20_and_21_right_targets(target, n_steps):
    assert not look(target, n_steps=n_steps)


def test_20_a_mask_of_the_loss_is_no_mask_of_the_target():
    def update(learner):
        def run(batch):
            workspace = n_step_transitions(batch, 0.99)
            q_value = learner.judge(workspace, learner.critic, 0)
            errors = (q_value - discounted(learner, workspace)).square()
            minimise((errors * ~flag(workspace, "done")).mean(), learner.optimizer)

        return run

    assert not check(update(Learner(None)), inputs=batch())


@pytest.mark.parametrize(
    "target",
    [
        lambda one, ws: reward(ws) + 0.99 * one.next_value(ws),
        lambda one, ws: reward(ws) + one.next_value(ws),
        lambda one, ws: reward(ws).add(one.next_value(ws), alpha=0.99),
        lambda one, ws: reward(ws) + 0.99 * ~flag(ws, "terminated", 0) * one.next_value(ws),  # of the step before
    ],
)
@pytest.mark.parametrize("n_steps", [1, 3])
def test_21_a_target_that_never_ends(target, n_steps):
    expect(look(target, n_steps=n_steps), 21, "no discount")


def test_21_rewards_alone_need_no_discount():
    assert not look(lambda one, ws: reward(ws))  # a bandit's


def fresh(one, ws):
    one.actor(ws, t=0)
    return one.judge(ws, one.critic, 0)


def by_function(one, ws):
    workspace = type(ws)(ws)
    workspace.set("action", 0, one.actor.body(ws.get("env/env_obs", 0))[:, :1].tanh().detach())
    return one.judge(workspace, one.critic, 0)


@pytest.mark.parametrize("prediction", [fresh, by_function])
@pytest.mark.parametrize("target", [discounted, lambda one, ws: reward(ws)])
def test_22_the_fresh_action_beside_the_stored_reward(prediction, target):
    expect(look(target, prediction), 22, "fresh action", "stored 'action'")


def test_22_without_variables():
    actor, critic = nn.Linear(3, 1), nn.Linear(4, 1)
    optimizer = torch.optim.Adam(critic.parameters())

    def update(which):
        def run(batch):
            observation, action, rewards = batch["env/env_obs"][0], batch["action"][0], batch["env/reward"][1]
            chosen = actor(observation).tanh().detach() if which == "fresh" else action
            error = critic(torch.cat((observation, chosen), -1)).squeeze(-1) - rewards
            minimise(error.square().mean(), optimizer)

        return run

    assert [one.kind for one in check(update("fresh"), inputs=batch())] == ["fresh action"]
    assert not check(update("stored"), inputs=batch())


@pytest.mark.parametrize("choice", ["stored", "greedy", "maximum"])
def test_22_for_choices(choice):
    q_agent = DiscreteQAgent([3], [8], 2, name="q")
    target = copy.deepcopy(q_agent).with_prefix("target-q/")
    optimizer = setup_optimizer(ADAM, q_agent)

    def update(batch):
        workspace = n_step_transitions(batch, 0.99)
        with torch.no_grad():
            target(workspace, t=1)
        q_agent(workspace, t=0)
        values, stored = workspace.get("q/q_values", 0), workspace.get("action", 0)
        index = stored if choice == "stored" else values.argmax(-1)
        value = values.amax(-1) if choice == "maximum" else values.gather(-1, index.unsqueeze(-1)).squeeze(-1)
        following = workspace.get("target-q/q_values", 1).amax(-1)
        minimise((value - reward(workspace) - workspace.get("discount", 1) * following).square().mean(), optimizer)

    kinds = [one.kind for one in check(update, inputs=batch(discrete=True))]
    assert kinds == ([] if choice == "stored" else ["fresh action"])


def test_22_values_of_states_judge_no_action():
    assert not check(plain(), inputs=batch())


def at_the_first_step(one, ws):
    return reward(ws) + ws.get("discount", 1) * one.judge(ws, one.target_critic, 0, no_grad=True)


def with_entropy(one, ws):
    with torch.no_grad():
        one.actor(ws, t=1)
    value = one.judge(ws, one.target_critic, 0, no_grad=True) - 0.1 * ws.get("action_logprobs", 1)
    return reward(ws) + ws.get("discount", 1) * value


@pytest.mark.parametrize(
    "target",
    [
        at_the_first_step,
        with_entropy,
        lambda one, ws: reward(ws) + 0.9 * one.judge(ws, one.target_critic, 0, no_grad=True),
        lambda one, ws: (reward(ws) + 0.9 * one.judge(ws, one.target_critic, 0)).detach(),
    ],
)
def test_23_the_target_network_at_the_first_step(target):
    expect(look(target), 23, "time", "'target-critic' at t=1")


def test_23_both_steps_may_be_judged():
    def advantage_learning(one, ws):  # Bellemare et al. 2016
        return discounted(one, ws) - 0.1 * one.judge(ws, one.target_critic, 0, no_grad=True)

    assert not look(advantage_learning)


# ---- policies and loops -------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("algorithm", [SAC, TD3, DQN])
def test_the_library_makes_none_of_them(algorithm, tiny_sac):
    if algorithm is DQN:
        tiny_sac["gym_env"]["env_name"] = "CartPole-v1"
        tiny_sac["algorithm"] |= {"double": True, "reward_clip": 1.0, "n_step_return": 3}
        del tiny_sac["algorithm"]["architecture"]
    one = algorithm(tiny_sac)
    found = check(one)
    one.train_env.close()
    assert not found and not found.notes
