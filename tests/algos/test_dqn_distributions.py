"""DQN that learns distributions of returns, and explores by noisy layers: against sb3-contrib, and by hand."""

import copy
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import QRDQN
from sb3_contrib.common.utils import quantile_huber_loss as their_loss
from stable_baselines3.common.logger import Logger

from tests.algos.test_dqn import ACTIONS, OBS, SpacesOnly, close, tiny_dqn, weights  # noqa: F401 - a fixture
from tests.algos.test_off_policy_memory import GRU, algorithm, filled, moved
from tests.algos.test_off_policy_memory import weights as weights_of_fronts
from tests.collectors.test_fleet import outcome
from tests.learning.compiled.test_graph_step import no_code, one_thread  # noqa: F401 - fixtures
from tests.runs.test_checkpoint import train_until
from workspace_rl import Workspace, check, load_policy, n_step_transitions
from workspace_rl.agents import NoisyLinear
from workspace_rl.algos import DQN
from workspace_rl.algos.dqn import critic_loss, critic_target, row_losses
from workspace_rl.errors import ConfigError, PolicyFileError

BATCH, QUANTILES = 32, 8
CATEGORICAL = {"distribution": "categorical", "n_atoms": 11, "v_min": -5, "v_max": 5}
QUANTILE = {"distribution": "quantile", "n_quantiles": 7}
RAINBOW = CATEGORICAL | {"noisy": True, "dueling": True, "head_hidden_size": [8]}


def transitions():
    batch = Workspace()
    batch.set_full("env/env_obs", torch.randn(2, BATCH, OBS))
    batch.set_full("action", torch.randint(ACTIONS, (2, BATCH)))
    batch.set_full("env/reward", torch.randn(2, BATCH))
    batch.set_full("env/terminated", torch.rand(2, BATCH) < 0.3)
    return batch


# ---- against sb3-contrib ------------------------------------------------------------------------------------------


def take_weights(ours, theirs):
    """Give our perceptron the weights of theirs, whose last layer counts actions first and quantiles last."""
    layers = [layer for layer in theirs.quantile_net if isinstance(layer, torch.nn.Linear)]
    ours.body[0].load_state_dict(layers[0].state_dict())
    ours.body[2].load_state_dict(layers[1].state_dict())
    order = torch.arange(QUANTILES * ACTIONS).view(QUANTILES, ACTIONS).T.flatten()
    with torch.no_grad():
        ours.head[0].weight.copy_(layers[2].weight[order])
        ours.head[0].bias.copy_(layers[2].bias[order])


def test_targets_losses_and_a_whole_update_equal_sb3_contrib(tiny_dqn, double, monkeypatch):  # noqa: F811
    monkeypatch.setattr("stable_baselines3.common.policies.preprocess_obs", lambda obs, *args, **kwargs: obs)
    torch.manual_seed(3)
    arguments = {"net_arch": [16, 12], "n_quantiles": QUANTILES}
    sb3 = QRDQN("MlpPolicy", SpacesOnly(), policy_kwargs=arguments, gamma=0.9, max_grad_norm=0.3, learning_rate=1e-2)
    sb3.policy.double()
    with torch.no_grad():
        for parameter in sb3.quantile_net_target.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    if "DQNSpaces-v0" not in gym.registry:
        gym.register("DQNSpaces-v0", entry_point=SpacesOnly)
    tiny_dqn["gym_env"]["env_name"] = "DQNSpaces-v0"
    sizes = {"hidden_size": [16, 12], "distribution": "quantile", "n_quantiles": QUANTILES}
    tiny_dqn["algorithm"] |= {"architecture": sizes, "discount_factor": 0.9, "max_grad_norm": 0.3}
    tiny_dqn["optimizer"] = {"classname": "torch.optim.Adam", "lr": 1e-2, "eps": 0.01 / 32}
    tiny_dqn["compile"] = False
    dqn = DQN(tiny_dqn)
    for agent, network in ((dqn.q_agent, sb3.quantile_net), (dqn.target_q_agent, sb3.quantile_net_target)):
        take_weights(agent, network)
    batch = transitions()

    # theirs, as in sb3_contrib/qrdqn/qrdqn.py
    (observation, next_observation), dones = batch["env/env_obs"], batch["env/terminated"][1].double().unsqueeze(-1)
    reward, action = batch["env/reward"][1].unsqueeze(-1), batch["action"][0].unsqueeze(-1)
    with torch.no_grad():
        next_quantiles = sb3.quantile_net_target(next_observation)
        chosen = next_quantiles.mean(dim=1, keepdim=True).argmax(dim=2, keepdim=True).expand(BATCH, QUANTILES, 1)
        their_target = reward + (1 - dones) * 0.9 * next_quantiles.gather(dim=2, index=chosen).squeeze(dim=2)
    index = action[..., None].expand(BATCH, QUANTILES, 1)
    current = sb3.quantile_net(observation).gather(dim=2, index=index).squeeze(dim=2)

    workspace = n_step_transitions(batch, 0.9)
    with torch.no_grad():
        dqn.target_policy(workspace, t=1)
    dqn.q_agent(workspace, t=0)
    close(critic_target(workspace, "quantiles"), their_target)
    assert (current - their_target).abs().min() < 1 < (current - their_target).abs().max()
    close(critic_loss(workspace, "quantile"), their_loss(current, their_target, sum_over_quantiles=True))

    sb3.replay_buffer = SimpleNamespace(
        sample=lambda *args, **kwargs: SimpleNamespace(
            observations=observation, next_observations=next_observation, actions=action, rewards=reward, dones=dones,
            discounts=None,
        )
    )  # fmt: skip
    sb3._logger = Logger(None, [])
    before = weights(dqn.q_agent)
    for _ in range(2):
        sb3.train(1, BATCH)
        metrics = dqn.learn(batch)
    assert metrics["gradient_norm/critic"] > 0.3 and (weights(dqn.q_agent) - before).abs().mean() > 1e-3
    updated = copy.deepcopy(dqn.q_agent)
    take_weights(updated, sb3.quantile_net)
    close(weights(dqn.q_agent), weights(updated))


# ---- by hand ------------------------------------------------------------------------------------------------------


def test_means_choose_and_distributions_of_the_chosen_action_are_learned(double):
    """Two transitions: one with three steps ahead, one that terminated."""
    workspace = Workspace()
    likely = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]]).log().clamp(min=-800)  # of two actions, over 0, 1, 2
    workspace.set("q/logits", 0, likely.expand(2, 2, 3))
    workspace.set("target-q/logits", 1, likely.expand(2, 2, 3))
    workspace.set("action", 0, torch.tensor([0, 1]))
    workspace.set("action", 1, torch.tensor([1, 0]))
    workspace.set("env/reward", 1, torch.tensor([0.5, 1.0]))
    workspace.set("discount", 1, torch.tensor([0.5, 0.0]))
    # 0.5 + 0.5 * (0, 1, 2) with 0, 0.5, 0.5: at 1 and 1.5, so that 1 gets 0.75, and 2 gets 0.25.
    first, second = -(0.75 * np.log(0.2) + 0.25 * np.log(0.1)), -np.log(0.5)
    losses = row_losses(workspace, "categorical", 0.0, 2.0)
    assert losses.tolist() == pytest.approx([first, second])
    assert critic_loss(workspace, rows=losses).item() == pytest.approx((first + second) / 2)
    workspace.set("weight", 0, torch.tensor([1.0, 0.0]))
    assert critic_loss(workspace, rows=losses).item() == pytest.approx(first)


@pytest.mark.parametrize("architecture", [CATEGORICAL, QUANTILE, RAINBOW])
def test_values_are_means_of_distributions(tmp_path, architecture):
    agent = algorithm(DQN, tmp_path, None, architecture=architecture).q_agent
    workspace = Workspace()
    workspace.set("env/env_obs", 0, torch.randn(5, 4))
    agent(workspace, t=0, stochastic=False)
    if architecture is QUANTILE:
        expected = workspace.get("q/quantiles", 0).mean(-1)
    else:
        expected = torch.softmax(workspace.get("q/logits", 0), -1) @ torch.arange(-5.0, 6.0)
    torch.testing.assert_close(workspace.get("q/q_values", 0), expected)


def test_a_dueling_head_puts_streams_together_for_each_atom(tmp_path):
    agent = algorithm(DQN, tmp_path, None, architecture=CATEGORICAL | {"dueling": True}).q_agent
    features = torch.randn(3, 8)
    value, advantage = agent.head.value(features), agent.head.advantage(features).view(3, 2, 11)
    torch.testing.assert_close(agent.head(features), value[:, None] + advantage - advantage.mean(1, keepdim=True))


# ---- with all else ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [None, GRU])
@pytest.mark.parametrize("architecture", [CATEGORICAL, QUANTILE, RAINBOW])
def test_one_graph_learns_as_eager_code_does(architecture, memory, tmp_path, no_code, one_thread):  # noqa: F811
    parameters = {"double": True, "n_step_return": 3, "target_update_interval": 1, "prioritized": {"exponent": 0.5}}
    eager, compiled = (
        algorithm(DQN, tmp_path, memory, architecture=dict(architecture), **parameters) for _ in range(2)
    )
    compiled.config.compile = True
    compiled.q_agent.load_state_dict(eager.q_agent.state_dict())
    compiled.target_q_agent.load_state_dict(eager.target_q_agent.state_dict())
    compiled.fronts.online["q"].before(compiled.q_agent).load_state_dict(
        eager.fronts.online["q"].before(eager.q_agent).state_dict()
    )
    compiled.fronts.copy_to_targets()
    assert not list(check(eager))
    experience, _ = filled(eager)
    befores = [one.clone() for one in eager.q_agent.parameters()]
    with torch._inductor.config.patch(fallback_random=True):
        for one in (eager, compiled):
            fronts = weights_of_fronts(one.fronts.online)
            torch.manual_seed(2)
            for _ in range(2):
                one.metrics = one.learn(experience.buffer.sample(5, experience.window))
            assert all(moved(fronts, one.fronts.online))
    assert compiled.learner.compiled is not None
    assert not any(torch.equal(one, other) for one, other in zip(befores, eager.q_agent.parameters(), strict=True))
    for name, value in eager.metrics.items():
        torch.testing.assert_close(value, compiled.metrics[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("architecture", [QUANTILE, RAINBOW])
def test_observations_of_many_parts_and_masks(architecture, tmp_path):
    env = {
        "env_name": "Taxi-v4", "max_episode_steps": 20, "info_keys": {"action_mask": {"shape": [6], "dtype": "bool"}},
    }  # fmt: skip
    one = algorithm(DQN, tmp_path, None, env, architecture=dict(architecture), action_mask="env/info/action_mask")
    experience, fragments = filled(one)
    for fragment in fragments:
        allowed = fragment["env/info/action_mask"].gather(-1, fragment["action"].unsqueeze(-1)).squeeze(-1)
        assert (allowed | fragment["env/done"]).all()
    one.learn(experience.buffer.sample(5, experience.window))
    env = {"env_name": "SeveralParts-v0", "env_args": {"discrete": True}, "max_episode_steps": 30}
    parts = dict(architecture) | {"encoder": {"images": "impala_cnn", "image_hidden_size": [6]}}
    one = algorithm(DQN, tmp_path, None, env, architecture=parts)
    before = weights_of_fronts(one.fronts.online)
    experience, _ = filled(one)
    one.learn(experience.buffer.sample(5, experience.window))
    assert sum(moved(before, one.fronts.online)) > 0.8 * len(before)


@pytest.mark.parametrize("collectors", [None, {"n": 2, "where": "process"}])
def test_a_noisy_run_is_resumed_bit_for_bit_and_leaves_a_policy_without_noise(collectors, tmp_path):
    paths = [tmp_path / "one", tmp_path / "two"]
    whole, stopped = (
        algorithm(
            DQN, path, None, collectors=collectors, architecture=dict(RAINBOW), epsilon_start=0, epsilon_end=0
        )
        for path in paths
    )  # fmt: skip
    whole.train(progress=False)
    train_until(stopped, 12)
    DQN.restore(paths[1] / "run").train(progress=False)
    assert outcome(paths[0] / "run") == outcome(paths[1] / "run")
    workspace = Workspace()
    workspace.set("env/env_obs", 0, torch.randn(3, 4))
    policy, before = load_policy(paths[0] / "run" / "latest"), torch.get_rng_state()
    assert any(isinstance(one, NoisyLinear) for one in policy.modules())
    policy(workspace, t=0)
    assert torch.equal(before, torch.get_rng_state())


def test_acting_draws_for_each_environment_and_learning_for_each_network(tmp_path):
    one = algorithm(DQN, tmp_path, None, architecture=dict(RAINBOW), double=True)
    workspace = Workspace()
    workspace.set("env/env_obs", 0, torch.ones(6, 4))
    workspace.set("env/env_obs", 1, torch.ones(6, 4))
    one.policy.eval()
    one.policy(workspace, t=0)
    assert workspace.get("q/q_values", 0).unique(dim=0).shape == (6, 2)
    one.policy.train()
    with torch.no_grad():
        one.target_policy(workspace, t=1)
    values = [workspace.get(f"{name}/q_values", 1) for name in ("q", "target-q")]
    assert all(each.unique(dim=0).shape == (1, 2) for each in values) and not torch.equal(*values)


# ---- what is refused ----------------------------------------------------------------------------------------------


def test_features_are_taken_over_and_noise_in_frozen_ones_is_refused(tmp_path):
    first = algorithm(DQN, tmp_path / "first", None, architecture=dict(QUANTILE))
    first.train(progress=False)
    folder = str(tmp_path / "first" / "run")
    frozen = {"features_from": folder, "freeze_features": True}
    one = algorithm(DQN, tmp_path / "second", None, architecture=CATEGORICAL | frozen)
    body, head = weights(one.q_agent.body), weights(one.q_agent.head)
    assert torch.equal(body, weights(load_policy(folder)[0].body))
    experience, _ = filled(one)
    one.learn(experience.buffer.sample(5, experience.window))
    assert torch.equal(body, weights(one.q_agent.body)) and not torch.equal(head, weights(one.q_agent.head))
    with pytest.raises(
        ConfigError, match=r"hidden_size: \[\] expected with freeze_features and noisy.*head_hidden_size"
    ):
        algorithm(DQN, tmp_path / "third", None, architecture=RAINBOW | frozen)
    with pytest.raises(PolicyFileError, match="Use the network, hidden_size and noisy that they were trained with"):
        algorithm(DQN, tmp_path / "fourth", None, architecture=RAINBOW | {"features_from": folder})


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        (
            {"architecture": {"v_min": 3, "v_max": 3}},
            r"architecture.v_max: more than .*v_min = 3.0 expected, 3.0 found",
        ),
        ({"architecture": {"distribution": "c51"}}, "one of 'none', 'categorical', 'quantile'"),
        ({"architecture": dict(QUANTILE), "loss": "squared"}, "algorithm.loss: 'huber' expected with .* = 'quantile'"),
        ({"architecture": {"n_atoms": 1}}, "n_atoms"),
    ],
)
def test_what_does_not_go_together_is_refused(parameters, told, tmp_path):
    with pytest.raises(ConfigError, match=told):
        algorithm(DQN, tmp_path, None, **parameters)
