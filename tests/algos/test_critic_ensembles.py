"""REDQ and DroQ, which are configurations of SAC: their numbers by a few lines of torch, and their runs."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from tests.collectors.test_fleet import outcome
from tests.learning.compiled.test_graph_step import one_thread  # noqa: F401 - fixture
from tests.runs.test_checkpoint import train_until
from tests.toys import ACT, BATCH, OBS
from workspace_rl import Workspace, load_policy, n_step_transitions, policy_function
from workspace_rl.agents import ContinuousQAgent, SquashedGaussianActor
from workspace_rl.algos import DDPG, SAC, TD3, TQC
from workspace_rl.algos.sac import actor_loss, critic_loss
from workspace_rl.errors import ConfigError
from workspace_rl.learning.modes import evaluation_mode

DROQ = {"critic_block": "layer_norm", "critic_dropout": 0.2}


def close(ours, theirs):
    return torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_redq_s_targets_and_losses_by_hand(batch):
    """Equation 1 and algorithm 1 of Chen et al. 2021: 2 of 10 critics, and the mean for the actor."""
    torch.manual_seed(0)
    actor = SquashedGaussianActor(OBS, [16], ACT)
    critic = ContinuousQAgent(OBS, [16, 12], ACT, n_critics=10)
    target = copy.deepcopy(critic).with_prefix("target-critic/")
    transitions = n_step_transitions(batch, 0.9)
    with torch.no_grad():
        for parameter in target.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        actor(transitions, t=1)
        target(transitions, t=1)
    critic(transitions, t=0)
    alpha = torch.tensor(0.3)

    def member(agent, k, x):  # the k-th network, layer by layer
        model, rows = agent.model, slice(16 * k, 16 * k + 16)
        x = (x @ model.first.weight[rows].T + model.first.bias[rows]).relu()
        x = model.middle[0][k](x).relu()
        return x @ model.last_weight[k] + model.last_bias[k]

    def by_hand(chosen):
        s_a = torch.cat((batch["env/env_obs"][0], batch["action"][0]), -1)
        next_s_a = torch.cat((batch["env/env_obs"][1], transitions.get("action", 1)), -1)
        least = torch.stack([member(target, k, next_s_a) for k in chosen]).min(0).values
        value = least - 0.3 * transitions.get("action_logprobs", 1)
        y = batch["env/reward"][1] + 0.9 * (~batch["env/terminated"][1]).double() * value
        return sum(nn.functional.mse_loss(member(critic, k, s_a), y.detach()) for k in range(10))

    for n_chosen in (None, 10):
        close(critic_loss(transitions, alpha, n_chosen), by_hand(range(10)))
    torch.manual_seed(4)
    loss = critic_loss(transitions, alpha, 2)
    torch.manual_seed(4)
    close(loss, by_hand(torch.rand(10).argsort()[:2].tolist()))

    workspace = Workspace(n_step_transitions(batch, 0.9))
    actor(workspace, t=0)
    critic(workspace, t=0)
    s_a = torch.cat((batch["env/env_obs"][0], workspace.get("action", 0)), -1)
    mean = torch.stack([member(critic, k, s_a) for k in range(10)]).mean(0)
    close(actor_loss(workspace, alpha, "mean"), (0.3 * workspace.get("action_logprobs", 0) - mean).mean())


def test_redq_s_subset_is_one_for_all_of_the_batch_and_each_is_as_likely(batch):
    transitions = n_step_transitions(batch, 0.9)
    transitions.set("critic/q_values", 0, torch.zeros(BATCH, 10))
    transitions.set("target-critic/q_values", 1, 10 * torch.randn(BATCH, 10))
    transitions.set("action_logprobs", 1, torch.zeros(BATCH))

    def loss(i, j):
        least = torch.minimum(*transitions.get("target-critic/q_values", 1)[:, [i, j]].unbind(-1))
        return 10 * (transitions.get("env/reward", 1) + transitions.get("discount", 1) * least).square().mean()

    pairs = {(i, j): float(loss(i, j)) for i in range(10) for j in range(i)}
    drawn = [float(critic_loss(transitions, torch.tensor(0.3), 2)) for _ in range(900)]
    counts = [sum(abs(one / value - 1) < 1e-12 for one in drawn) for value in pairs.values()]
    assert sum(counts) == 900
    assert sum((count - 20) ** 2 / 20 for count in counts) < 80.0  # chi-square, 44 degrees of freedom: p = 0.0007


class DroQ(nn.Module):
    """A critic as its authors write it, but for dropout, which is that of torch."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(OBS + ACT, 16), nn.Linear(16, 16), nn.Linear(16, 1)])
        self.norms = nn.ModuleList([nn.LayerNorm(16), nn.LayerNorm(16)])

    def forward(self, x, kept):
        for layer, norm, mask in zip(self.layers, self.norms, kept, strict=False):
            x = norm(layer(x) * mask).relu()
        return self.layers[-1](x).squeeze(-1)


def masks_of(agent):
    """Return what each member's dropouts do to ones, in the order in which they are asked."""
    with torch.no_grad():
        return [[layer(torch.ones(BATCH, 16)) for layer in network if "Dropout" in str(layer)]
                for network in agent.model.members]  # fmt: skip


def test_droq_s_targets_and_losses_by_plain_torch(batch):
    """Algorithm 2 of Hiraoka et al. 2022: dropout in critics and target critics, the least value, the actor's mean."""
    torch.manual_seed(0)
    actor = SquashedGaussianActor(OBS, [16], ACT)
    critic = ContinuousQAgent(OBS, [16, 16], ACT, block="layer_norm", dropout=0.2)
    target = copy.deepcopy(critic).with_prefix("target-critic/")
    with torch.no_grad():
        for parameter in target.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    theirs = {}
    for agent in (critic, target):
        theirs[agent] = [DroQ(), DroQ()]
        for network, plain in zip(agent.model.members, theirs[agent], strict=True):
            for layer, own in zip([*plain.layers, *plain.norms], [network[i] for i in (0, 4, 8, 2, 6)], strict=True):
                layer.load_state_dict(own.state_dict())
    alpha, transitions = torch.tensor(0.3), n_step_transitions(batch, 0.9)
    with torch.no_grad():
        actor(transitions, t=1)

    def values(agent, t, seed):
        torch.manual_seed(seed)
        agent(transitions, t=t)
        torch.manual_seed(seed)
        x = torch.cat((transitions.get("env/env_obs", t), transitions.get("action", t)), -1)
        return [plain(x, kept) for plain, kept in zip(theirs[agent], masks_of(agent), strict=True)]

    q, next_q = values(critic, 0, 1), values(target, 1, 2)
    next_value = torch.minimum(*next_q) - 0.3 * transitions.get("action_logprobs", 1)
    y = (batch["env/reward"][1] + 0.9 * (~batch["env/terminated"][1]).double() * next_value).detach()
    ours, expected = critic_loss(transitions, alpha), sum(((one - y) ** 2).mean() for one in q)
    close(ours, expected)
    gradient = torch.autograd.grad(ours, critic.model.members[1][4].weight)[0]
    close(gradient, torch.autograd.grad(expected, theirs[critic][1].layers[1].weight)[0])
    assert (masks_of(critic)[0][0] == 0).any()

    actor(transitions, t=0)
    q = values(critic, 0, 3)
    expected = (0.3 * transitions.get("action_logprobs", 0) - (q[0] + q[1]) / 2).mean()
    close(actor_loss(transitions, alpha, "mean"), expected)


def small(tiny_sac, architecture=None, **parameters):
    tiny_sac["algorithm"]["architecture"] |= architecture or {}
    tiny_sac["algorithm"] |= {"checkpoint_interval": 160, **parameters}
    tiny_sac |= {"torch_threads": 1, "matmul_precision": "highest"}
    return tiny_sac


def random_batch(k, size=16):
    generator, batch = torch.Generator().manual_seed(k), Workspace()
    batch.set_full("env/env_obs", torch.randn(2, size, 3, generator=generator))
    batch.set_full("action", torch.rand(2, size, 1, generator=generator) * 2 - 1)
    batch.set_full("env/reward", torch.randn(2, size, generator=generator))
    batch.set_full("env/terminated", torch.rand(2, size, generator=generator) < 0.1)
    return batch


def test_dropout_blurs_updates_and_nothing_else(tiny_sac):
    sac = SAC(small(tiny_sac, DROQ, actor_value="mean"))
    batch = n_step_transitions(random_batch(0), 0.9)
    for critic in (sac.critic, sac.target_critic):
        values = []
        for _ in range(2):
            critic(batch, t=0)
            values.append(batch.get(f"{critic.prefix}q_values", 0))
        assert not torch.equal(*values)
        with evaluation_mode(critic):
            critic(batch, t=0)
            values = [batch.get(f"{critic.prefix}q_values", 0)]
            critic(batch, t=0)
        assert torch.equal(values[0], batch.get(f"{critic.prefix}q_values", 0))
    assert not sac.target_critic.model.members[0][1].n_left_out == 0


def test_the_actor_is_updated_at_every_policy_delay_th_update(tiny_sac):
    sac = SAC(small(tiny_sac, policy_delay=3))
    moved, metrics = [], []
    for k in range(6):
        before = copy.deepcopy([sac.actor.state_dict(), sac.critic.state_dict(), sac.target_critic.state_dict()])
        coefficient = sac.entropy_coef().item()
        metrics.append(sac.learn(random_batch(k)))
        after = [sac.actor.state_dict(), sac.critic.state_dict(), sac.target_critic.state_dict()]
        moved.append([not all(torch.equal(one[key], other[key]) for key in one)
                      for one, other in zip(before, after, strict=True)])  # fmt: skip
        moved[-1].append(sac.entropy_coef().item() != coefficient)
    assert moved == [[delayed, True, True, delayed] for delayed in [False, False, True] * 2]
    assert "loss/actor" in metrics[2] and "loss/actor" not in metrics[1]


MIXED = DROQ | {"actor_block": "residual"}
PARAMETERS = {"n_critics": 3, "n_target_critics": 2, "actor_value": "mean", "policy_delay": 2}


def test_updates_learn_the_same_compiled_and_what_is_drawn_is_the_same(tiny_sac, one_thread):  # noqa: F811
    found = []
    for compiles in (False, True):
        sac = SAC(small(tiny_sac, DROQ, n_target_critics=1, actor_value="mean") | {"compile": compiles})
        torch.manual_seed(0)
        metrics = [sac.learn(random_batch(k)) for k in range(12)]
        found.append((metrics, dict(sac.critic.state_dict())))
    assert not sac.learner.compiled._eager and len(sac.learner.compiled._graphs) == 1
    for eager, graph in zip(found[0][0], found[1][0], strict=True):
        torch.testing.assert_close(graph, eager, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-3, atol=1e-4)


def test_a_run_is_resumed_bit_for_bit_and_its_policy_acts(tiny_sac, tmp_path):
    paths = [tmp_path / "one", tmp_path / "two"]
    parameters = PARAMETERS | {"updates_per_collect": 2, "normalize_observations": True}
    whole, stopped = (SAC(small(tiny_sac, MIXED, **parameters) | {"base_dir": str(path)}) for path in paths)
    whole.train(progress=False)
    train_until(stopped, 40)
    SAC.restore(paths[1]).train(progress=False)
    assert outcome(paths[0]) == outcome(paths[1])
    act = policy_function(load_policy(paths[0] / "latest"))
    observation = np.ones(3, np.float32)
    assert np.array_equal(act(observation), act(observation))


def test_critics_of_all_blocks_are_learned_by_relatives(tiny_sac):
    for cls in (TQC, TD3, DDPG):
        algorithm = cls(small(tiny_sac, {"actor_block": "layer_norm", "critic_block": "residual"}))
        assert algorithm.learn(random_batch(0))["loss/critic"].isfinite()
        assert "ResidualMLPBlock" in str(algorithm.critic) and "LayerNorm" in str(algorithm.actor)


def test_each_critic_may_read_features_of_its_own(tiny_sac):
    sac = SAC(small(tiny_sac, DROQ | {"encoder": {"hidden_size": [6]}, "front_shared_by": "none"}, n_critics=3))
    assert len(set(sac.critic.observation_variable)) == 3
    assert sac.learn(random_batch(0))["loss/critic"].isfinite()
    sac.critic(features := Workspace(sac.transitions(random_batch(1))), t=0)
    assert features.get("critic/q_values", 0).shape == (16, 3)


def test_products_of_bf16_are_close(tiny_sac):
    losses = []
    for precision in ("float32", "bf16"):
        sac = SAC(small(tiny_sac, DROQ) | {"precision": precision})
        torch.manual_seed(0)
        losses.append(sac.learn(random_batch(0))["loss/critic"].item())
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.1)


@pytest.mark.parametrize("network", ["actor", "critic"])
def test_residual_blocks_of_several_widths_are_refused(network, tiny_sac):
    architecture = {f"{network}_block": "residual", f"{network}_hidden_size": [16, 8]}
    with pytest.raises(
        ConfigError, match=rf"algorithm.architecture.{network}_hidden_size: .* the same expected .*\[16, 8\]"
    ):
        SAC(small(tiny_sac, architecture))


def test_more_target_critics_than_critics_are_refused(tiny_sac):
    with pytest.raises(ConfigError, match="n_target_critics: at most algorithm.n_critics = 2 expected, 3 found"):
        SAC(small(tiny_sac, n_target_critics=3))
