"""DDPG where it differs from TD3; test_td3.py compares the numbers of both with stable-baselines3's."""

import copy

import pytest
import torch

from workspace_rl import Workspace, load_policy, minimise, n_step_transitions
from workspace_rl.agents.actors import DeterministicActor
from workspace_rl.agents.exploration import GaussianNoiseAgent, OrnsteinUhlenbeckNoiseAgent
from workspace_rl.algos import DDPG
from workspace_rl.algos.ddpg import actor_loss, critic_loss
from workspace_rl.errors import ConfigError, UnsupportedSpaceError
from workspace_rl.runs.metrics_file import read_metrics


def test_a_deterministic_actor_reads_and_writes_what_it_says():
    actor, workspace = DeterministicActor(3, [8], 2), Workspace()
    workspace.set("env/env_obs", 0, 100 * torch.randn(5, 3))
    before = torch.get_rng_state()
    actor(workspace, t=0, stochastic=True)
    assert torch.equal(before, torch.get_rng_state())
    assert list(workspace) == ["env/env_obs", "action"]
    action = workspace.get("action", 0)
    assert action.shape == (5, 2) and action.abs().max() <= 1
    action.sum().backward()
    assert all(parameter.grad is not None for parameter in actor.parameters())


def test_truncation_bootstraps_and_termination_does_not():
    workspace = Workspace()
    workspace.set_full("env/reward", torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))
    workspace.set_full("env/terminated", torch.tensor([[False, False, False], [True, False, False]]))
    workspace.set_full("env/done", torch.tensor([[False, False, False], [True, True, False]]))
    transitions = n_step_transitions(workspace, 0.5)
    transitions.set("target-critic/q_values", 1, torch.tensor([[10.0], [10.0], [-2.0]]))
    transitions.set("critic/q_values", 0, torch.tensor([[0.0], [2.0], [3.0]]))
    # targets: 1, 1 + 0.5 * 10 = 6 after truncation, 1 + 0.5 * -2 = 0
    assert critic_loss(transitions).item() == pytest.approx((1 + 16 + 9) / 3)
    assert actor_loss(transitions).item() == pytest.approx(-5 / 3)


def test_the_actors_step_leaves_the_critic_alone(tiny_sac):
    ddpg = DDPG(tiny_sac)
    before = copy.deepcopy(ddpg.critic.state_dict())
    workspace = Workspace()
    workspace.set("env/env_obs", 0, torch.randn(4, 3))
    ddpg.actor(workspace, t=0)
    ddpg.critic(workspace, t=0)
    minimise(actor_loss(workspace), ddpg.actor_optimizer)
    assert all(parameter.grad is None for parameter in ddpg.critic.parameters())
    assert all(torch.equal(value, ddpg.critic.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize(
    ("noise_kind", "expected"), [("gaussian", GaussianNoiseAgent), ("ornstein-uhlenbeck", OrnsteinUhlenbeckNoiseAgent)]
)
def test_equal_seeds_give_equal_bits_with_either_noise(tiny_sac, tmp_path, noise_kind, expected):
    tiny_sac["algorithm"] |= {"noise_kind": noise_kind, "exploration_noise": 0.3, "total_steps": 300}
    states, files = [], []
    for name in ("a", "b"):
        tiny_sac["base_dir"] = str(tmp_path / name)
        ddpg = DDPG(tiny_sac)
        assert type(ddpg.policy[1]) is expected and ddpg.policy[1].sigma == 0.3
        ddpg.train(progress=False)
        states.append([value for part in (ddpg.actor, ddpg.critic) for value in part.state_dict().values()])
        files.append((tmp_path / name / "metrics.csv").read_text())
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))
    assert files[0] == files[1]
    metrics = read_metrics(tmp_path / "a")
    for name in ("loss/critic", "loss/actor", "q_value/mean", "gradient_norm/critic", "gradient_norm/actor"):
        assert metrics[name], name
    assert isinstance(load_policy(tmp_path / "a"), DeterministicActor)


def test_n_step_returns_train(tiny_sac):
    tiny_sac["algorithm"] |= {"n_step_return": 3, "learning_starts": 0, "total_steps": 200}
    assert DDPG(tiny_sac).train(progress=False).steps >= 200


def test_it_learns_the_optimum_of_a_one_step_problem(one_step_problem):
    assert DDPG(one_step_problem).train(progress=False).final.mean > -0.01


def test_other_noise_and_discrete_actions_are_refused(tiny_sac):
    tiny_sac["algorithm"]["noise_kind"] = "gausian"
    with pytest.raises(ConfigError, match="'gausian' found. Did you mean 'gaussian'"):
        DDPG(tiny_sac)
    del tiny_sac["algorithm"]["noise_kind"]
    tiny_sac["gym_env"]["env_name"] = "CartPole-v1"
    with pytest.raises(UnsupportedSpaceError, match="DDPG needs continuous actions, but 'CartPole-v1' has Discrete"):
        DDPG(tiny_sac)
