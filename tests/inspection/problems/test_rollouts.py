"""Mistakes of docs/composition-mistakes.md in learning from rollouts: advantages and ratios of probabilities."""

import pytest
import torch
from torch import nn
from torch.distributions import Categorical

from tests.inspection.pieces import ADAM
from tests.mistakes import expect
from workspace_rl import Agents, Workspace, check, gae, minimise, setup_optimizer
from workspace_rl.agents import CategoricalActor, GaussianActor, ValueAgent
from workspace_rl.algos import PPO

T, B = 9, 5
DISCOUNT = {"discount_factor": 0.9, "gae_lambda": 0.8}


def rollout(action=None):
    flags = {f"env/{name}": torch.zeros(T, B, dtype=torch.bool) for name in ("terminated", "truncated", "done")}
    numbers = {name: torch.zeros(T, B) for name in ("env/reward", "value", "action_logprobs")}
    action = torch.zeros(T, B, dtype=torch.int64) if action is None else action
    return {"env/env_obs": torch.zeros(T, B, 3), "action": action, **numbers, **flags}


def by_gae(reward, value, following, done):
    return gae(reward, value, following, bootstrap=~done, trace=~done, **DISCOUNT)


def by_loop(reward, value, following, done):
    delta = reward + 0.9 * following * ~done - value
    advantage, last = torch.zeros_like(delta), 0.0
    for row in reversed(range(len(delta))):
        last = delta[row] + 0.72 * ~done[row] * last
        advantage[row] = last
    return advantage


def by_steps(reward, value, following, done):
    """Two steps of the reward."""
    return torch.cat((reward[:-1] + 0.9 * reward[1:], reward[-1:])) - value


def flat(batch):
    return [one.reshape(-1) for one in batch]


def as_column(batch):
    return [one.reshape(-1, 1) for one in batch]


def in_order(batch):
    return list(batch)


def learning(advantages, arrange):
    """Return an update that lets a policy learn from advantages of a rollout whose rows are arranged in some way."""
    actor = CategoricalActor(3, [8], 2, name="actor")
    optimizer = setup_optimizer(ADAM, actor)

    def update(batch):
        reward, value, done = batch["env/reward", "value", "env/terminated"]
        advantage = advantages(*arrange((reward[1:], value[:-1], value[1:], done[1:])))
        workspace = Workspace(batch)
        actor(workspace, given=True)
        log_prob = workspace["action_logprobs"][:-1].reshape(advantage.shape)
        minimise(-(advantage * log_prob).mean(), optimizer)

    return update


@pytest.mark.parametrize("advantages", [by_gae, by_loop, by_steps])
def test_28_an_advantage_over_flattened_transitions(advantages):
    for arrange in (flat, as_column):
        found = check(learning(advantages, arrange), inputs=rollout())
        expect(found, 28, "neighbours", "40 rows", "compute returns and advantages on [T, B]")
    assert not check(learning(advantages, in_order), inputs=rollout())


def test_28_by_get_transitions():
    def transitions_of(batch):
        transitions = batch.get_transitions()
        reward, value, done = transitions["env/reward", "value", "env/terminated"]
        workspace = Workspace(transitions)
        actor(workspace, given=True)
        advantage = by_gae(reward[1], value[0], value[1], done[1])
        minimise(-(advantage * workspace["action_logprobs"][0]).mean(), optimizer)

    actor = CategoricalActor(3, [8], 2, name="actor")
    optimizer = setup_optimizer(ADAM, actor)
    expect(check(transitions_of, inputs=rollout()), 28, "neighbours", "function 'by_gae'")


def test_28_one_environment_has_no_neighbours():
    one = {name: value[:, :1] for name, value in rollout().items()}
    assert not check(learning(by_gae, flat), inputs=one)


class FlatPPO(PPO):
    """Computes advantages over flattened rows."""

    def advantages(self, rollout):
        reward, value, done = rollout["env/reward", "value", "env/done"]
        advantage = by_gae(*flat((reward[1:], value[:-1], value[1:], done[1:])))
        return advantage.reshape(value[:-1].shape), value[:-1]


TINY = {
    "gym_env": {"env_name": "CartPole-v1"},
    "algorithm": {"total_steps": 1000, "n_envs": 2, "n_steps": 8, "batch_size": 8},
    "compile": False,
    "matmul_precision": "highest",
}


def test_28_where_a_rollout_is_prepared():
    expect(check(FlatPPO(TINY)), 28, "neighbours", "function 'by_gae'")
    assert not check(PPO(TINY))


# ---- ratios -------------------------------------------------------------------------------------------------------


def surrogate(old, ratio=lambda new, old: (new - old).exp()):
    """Return an update on the surrogate, whose ratio is that to the log-probability that `old` returns."""
    policy = Agents(CategoricalActor(3, [8], 2, name="actor"), ValueAgent(3, [8], name="value"))
    optimizer = setup_optimizer(ADAM, policy)

    def update(batch):
        workspace = Workspace(batch)
        before = old(policy, batch, workspace)
        policy(workspace, given=True)
        if before is None:  # what it has overwritten
            before = workspace["action_logprobs"].detach()
        minimise(-(ratio(workspace["action_logprobs"], before) * batch["env/reward"]).mean(), optimizer)

    return update


def stored(policy, batch, workspace):
    return batch["action_logprobs"]


def overwritten(policy, batch, workspace):
    return None


def computed(policy, batch, workspace):
    again = Workspace(batch)
    policy(again, given=True)
    return again["action_logprobs"]


def computed_without_gradient(policy, batch, workspace):
    with torch.no_grad():
        return computed(policy, batch, workspace)


RATIOS = {"difference": lambda new, old: (new - old).exp(), "quotient": lambda new, old: new.exp() / old.exp()}


@pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)
def test_29_a_ratio_to_the_policy_itself(ratio):
    expect(check(surrogate(computed, ratio), inputs=rollout()), 29, "ratio", "'actor' through both of its terms")
    for old in (overwritten, computed_without_gradient):
        problems = check(surrogate(old, ratio), inputs=rollout())
        assert [one.kind for one in problems] == ["ratio"] and "it is always 1" in problems[0].message
    assert not check(surrogate(stored, ratio), inputs=rollout())


def test_29_without_agents():
    net = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(net.parameters())

    def update(stored):
        def run(batch):
            def log_prob():
                return Categorical(logits=net(batch["env/env_obs"])).log_prob(batch["action"])

            old = batch["action_logprobs"] if stored else log_prob()
            minimise(-((log_prob() - old).exp() * batch["env/reward"]).mean(), optimizer)

        return run

    assert [one.kind for one in check(update(stored=False), inputs=rollout())] == ["ratio"]
    assert not check(update(stored=True), inputs=rollout())


def test_29_exponentials_that_are_no_ratio():
    def softmax(new, old):
        return (new - new.max().detach()).exp() * (new - old).exp()

    assert not check(surrogate(stored, softmax), inputs=rollout())


def test_30_a_ratio_of_differently_shaped_terms():
    actor = GaussianActor(3, [8], 1, name="actor")
    optimizer = setup_optimizer(ADAM, actor)

    class PerComponent(Agents):
        """Forgets to sum log-densities over the components of actions."""

        def forward(self, **kwargs):
            observation, action = self.get("env/env_obs"), self.get("action")
            mean = actor.head(actor.body(observation))
            self.set("action_logprobs", torch.distributions.Normal(mean, actor.log_std.exp()).log_prob(action))

    policy = PerComponent(actor)

    def update(batch):
        workspace = Workspace(batch)
        policy(workspace)
        ratio = (workspace["action_logprobs"] - batch["action_logprobs"]).exp()
        minimise(-(ratio * batch["env/reward"]).mean(), optimizer)

    minibatch = {name: one[:1] for name, one in rollout(torch.zeros(T, B, 1)).items()}
    expect(check(update, inputs=minibatch), 30, "broadcast", "function", "update", "squeeze(-1)")
