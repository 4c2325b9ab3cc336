"""Mistakes of docs/composition-mistakes.md in losses: gradients, targets, masks, and steps."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.inspection.learner import Learner, batch, look
from tests.inspection.pieces import ADAM
from tests.mistakes import expect
from workspace_rl import check, minimise, setup_optimizer
from workspace_rl.agents import DiscreteQAgent
from workspace_rl.algos import SAC
from workspace_rl.algos.sac import actor_loss
from workspace_rl.experience.returns import n_step_transitions


class NoActor(SAC):
    """Judges the stored action instead of the actor's."""

    def update(self, batch):
        workspace = n_step_transitions(batch, 0.99)
        with torch.no_grad():
            self.actor(workspace, t=0)
        self.critic(workspace, t=0)
        return {"loss": minimise(actor_loss(workspace, torch.tensor(1.0)), self.actor_optimizer)}


def test_11_a_loss_that_does_not_depend_on_what_it_trains(tiny_sac):
    expect(check(NoActor(tiny_sac)), 11, "no gradient", "'actor_optimizer'", "torch.no_grad()")


def test_12_a_batch_that_meets_a_column():
    q = torch.nn.Linear(3, 1)
    optimizer = setup_optimizer({"classname": "torch.optim.Adam", "lr": 1e-3}, q)

    def update(batch):
        error = q(batch.get("env/env_obs", 0)) - batch.get("env/reward", 1)
        return {"loss": minimise(error.square().mean(), optimizer)}

    batch = {"env/env_obs": torch.zeros(2, 5, 3), "env/reward": torch.zeros(2, 5)}
    expect(check(update, inputs=batch), 12, "broadcast", "[B, 1]", "function", "update", "squeeze(-1)")


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


def test_observations_of_several_parts_may_be_normalised(tiny_sac):
    tiny_sac["gym_env"]["env_name"] = "PointReach-v0"
    assert not check(SAC(tiny_sac | {"algorithm": tiny_sac["algorithm"] | {"normalize_observations": True}}))


CONVERSIONS = {
    "float": lambda x: x.float(),
    "to": lambda x: x.to("cpu"),
    "type": lambda x: x.type(torch.float32),
    "dropout": lambda x: functional.dropout(x, 0.5, training=False),
}


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=CONVERSIONS)
def test_a_conversion_that_changes_nothing_is_no_mistake_about_steps(convert):
    def whole(one, workspace):
        workspace.set_full("env/env_obs", 2 * workspace.get_full("env/env_obs"))
        convert(workspace.get("env/env_obs", 0))
        return discounted(one, workspace)

    assert not look(whole)
