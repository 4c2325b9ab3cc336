"""TD3's numbers (and those of DDPG, whose losses it shares), against stable-baselines3 and by hand."""

import copy

import gymnasium as gym
import pytest
import torch
from stable_baselines3 import DDPG as SB3DDPG
from stable_baselines3 import TD3 as SB3TD3
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from tests.toys import ACT, BATCH, OBS, ContinuousSpacesEnv
from workspace_rl import Workspace, load_policy, n_step_transitions
from workspace_rl.agents import ContinuousQAgent
from workspace_rl.algos import DDPG, TD3, sac
from workspace_rl.algos.ddpg import actor_loss, critic_loss
from workspace_rl.errors import UnsupportedSpaceError
from workspace_rl.runs.metrics_file import read_metrics


def close(ours, theirs):
    return torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def critic_tensors(critic):
    """Return the weights of stable-baselines3's critics in the layout of `ContinuousQAgent`, by name."""
    nets = [[layer for layer in net if isinstance(layer, torch.nn.Linear)] for net in critic.q_networks]
    tensors = {
        "model.first.weight": torch.cat([net[0].weight for net in nets]),
        "model.first.bias": torch.cat([net[0].bias for net in nets]),
        "model.last_weight": torch.cat([net[2].weight for net in nets]),
        "model.last_bias": torch.cat([net[2].bias for net in nets]),
    }
    for member, net in enumerate(nets):
        tensors |= {f"model.middle.0.{member}.{name}": value for name, value in net[1].state_dict().items()}
    return tensors


def actor_tensors(actor):
    return {f"model.{name}": value for name, value in actor.mu.state_dict().items()}


@pytest.mark.parametrize(("ours_class", "theirs_class"), [(TD3, SB3TD3), (DDPG, SB3DDPG)])
def test_four_updates_equal_those_of_stable_baselines3(ours_class, theirs_class, batch, monkeypatch):
    monkeypatch.setattr("stable_baselines3.common.policies.preprocess_obs", lambda obs, *args, **kwargs: obs)
    monkeypatch.setitem(gym.registry, "Spaces-v0", gym.envs.registration.EnvSpec("Spaces-v0", ContinuousSpacesEnv))
    theirs = theirs_class("MlpPolicy", ContinuousSpacesEnv(), policy_kwargs={"net_arch": [16, 12]}, gamma=0.9, tau=0.01)
    theirs.policy.double()
    theirs.set_logger(Logger(None, []))
    samples = ReplayBufferSamples(
        observations=batch["env/env_obs"][0],
        actions=batch["action"][0],
        next_observations=batch["env/env_obs"][1],
        dones=batch["env/terminated"][1].double().unsqueeze(-1),
        rewards=batch["env/reward"][1].unsqueeze(-1),
    )
    monkeypatch.setattr(theirs.replay_buffer, "sample", lambda *args, **kwargs: samples)
    with torch.no_grad():  # move the targets away from what they follow
        for parameter in (*theirs.actor_target.parameters(), *theirs.critic_target.parameters()):
            parameter.add_(0.2 * torch.randn_like(parameter))

    adam = {"classname": "torch.optim.Adam", "lr": 1e-3}
    ours = ours_class(
        {
            "gym_env": {"env_name": "Spaces-v0"},
            "algorithm": {
                "n_envs": 1,
                "total_steps": 20_000,
                "discount_factor": 0.9,
                "tau_target": 0.01,
                "architecture": {"actor_hidden_size": [16, 12], "critic_hidden_size": [16, 12]},
            },
            "actor_optimizer": adam,
            "critic_optimizer": adam,
        }
    )
    parts = [
        (ours.actor, lambda: actor_tensors(theirs.actor)),
        (ours.target_actor, lambda: actor_tensors(theirs.actor_target)),
        (ours.critic, lambda: critic_tensors(theirs.critic)),
        (ours.target_critic, lambda: critic_tensors(theirs.critic_target)),
    ]
    for part, tensors in parts:
        part.load_state_dict(tensors())

    for k in range(4):
        theirs.logger.name_to_value.clear()
        torch.manual_seed(k)
        theirs.train(gradient_steps=1, batch_size=BATCH)
        torch.manual_seed(k)
        metrics = ours.learn(batch)
        logged = theirs.logger.name_to_value
        assert metrics["loss/critic"].item() == pytest.approx(logged["train/critic_loss"], rel=1e-6)
        assert ("loss/actor" in metrics) == ("train/actor_loss" in logged)
        if "loss/actor" in metrics:
            assert metrics["loss/actor"].item() == pytest.approx(logged["train/actor_loss"], rel=1e-6)
        for part, tensors in parts:
            for name, expected in tensors().items():
                close(part.state_dict()[name], expected.detach())


def test_targets_equal_those_of_sac_without_entropy(batch):
    critic = ContinuousQAgent(OBS, [8], ACT)
    target_critic = ContinuousQAgent(OBS, [8], ACT).with_prefix("target-critic/")
    workspace = n_step_transitions(batch, 0.9)  # both take the stored actions as the next ones
    critic(workspace, t=0)
    target_critic(workspace, t=1)
    workspace.set("action_logprobs", 1, torch.randn(BATCH))
    ours, theirs = critic_loss(workspace), sac.critic_loss(workspace, torch.tensor(0.0))
    assert torch.equal(ours, theirs)
    # The gradient is 2 (q - y) / B: the targets are equal, one by one.
    q_values = workspace.get("critic/q_values", 0)
    gradients = [torch.autograd.grad(loss, q_values, retain_graph=True)[0] for loss in (ours, theirs)]
    assert torch.equal(*gradients) and gradients[0].abs().min() > 0


def test_truncation_bootstraps_and_termination_does_not(double):
    workspace = Workspace()
    workspace.set_full("env/reward", torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    workspace.set_full("env/terminated", torch.tensor([[False, False], [True, False]]))
    workspace.set_full("env/done", torch.tensor([[False, False], [True, True]]))
    transitions = n_step_transitions(workspace, 0.5)
    transitions.set("target-critic/q_values", 1, torch.tensor([[10.0, 20.0], [20.0, 10.0]]))
    transitions.set("critic/q_values", 0, torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    # targets: 1, and 1 + 0.5 * 10 = 6; errors 1 and 6 of the first critic, 1 and 5 of the second
    assert critic_loss(transitions).item() == (1 + 36) / 2 + (1 + 25) / 2
    # the actor asks the first critic
    transitions.set("critic/q_values", 0, torch.tensor([[1.0, -5.0], [3.0, -7.0]]))
    assert actor_loss(transitions).item() == -2


def test_target_actions_are_smoothed(tiny_sac):
    torch.manual_seed(0)
    tiny_sac["algorithm"] |= {"policy_noise": 0.1, "noise_clip": 0.15}
    td3, workspace = TD3(tiny_sac), Workspace()
    workspace.set("env/env_obs", 1, torch.zeros(10_000, 3))
    td3.target_actor(workspace, t=1)
    plain = workspace.get("action", 1)
    td3.target_policy(workspace, t=1)
    noise = workspace.get("action", 1) - plain
    assert noise.abs().max().item() == pytest.approx(0.15, rel=1e-4)
    # the standard deviation of a normal distribution whose ends, beyond 1.5 of its own, are moved to there
    assert noise.std().item() == pytest.approx(0.1 * 0.8822, rel=0.03) and noise.mean().abs() < 0.004


@pytest.mark.parametrize("policy_delay", [1, 2, 3])
def test_actor_and_targets_move_at_every_policy_delay_th_update(tiny_sac, policy_delay):
    tiny_sac["algorithm"]["policy_delay"] = policy_delay
    td3 = TD3(tiny_sac)
    torch.manual_seed(0)
    batch = Workspace()
    batch.set_full("env/env_obs", torch.randn(2, 16, 3))
    batch.set_full("action", torch.rand(2, 16, 1) * 2 - 1)
    batch.set_full("env/reward", torch.randn(2, 16))
    batch.set_full("env/terminated", torch.zeros(2, 16, dtype=torch.bool))
    parts = {name: getattr(td3, name) for name in ("critic", "actor", "target_actor", "target_critic")}
    for k in range(1, 7):
        before = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
        metrics = td3.learn(batch)
        moved = {
            name: not all(torch.equal(value, before[name][key]) for key, value in part.state_dict().items())
            for name, part in parts.items()
        }
        due = k % policy_delay == 0
        assert moved == {"critic": True, "actor": due, "target_actor": due, "target_critic": due}
        actors_own = {"loss/actor", "gradient_norm/actor"}
        assert set(metrics) == {"loss/critic", "q_value/mean", "gradient_norm/critic"} | (actors_own if due else set())
        assert all(value.ndim == 0 and not value.requires_grad for value in metrics.values())


def test_equal_seeds_give_equal_bits_and_equal_files(tiny_sac, tmp_path):
    states, files = [], []
    for name in ("a", "b"):
        tiny_sac["base_dir"] = str(tmp_path / name)
        td3 = TD3(tiny_sac)
        torch.rand(7)  # what the program around does must not matter
        td3.train(progress=False)
        states.append([value for part in (td3.actor, td3.critic) for value in part.state_dict().values()])
        files.append((tmp_path / name / "metrics.csv").read_text())
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))
    assert files[0] == files[1]
    assert read_metrics(tmp_path / "a")["loss/actor"]
    # and the policy that was saved acts as the one that was learned
    observation, actions = torch.randn(10, 3), []
    for policy in (td3.eval_policy, load_policy(tmp_path / "b" / "latest")):
        workspace = Workspace()
        workspace.set("env/env_obs", 0, observation)
        policy(workspace, t=0)
        actions.append(workspace.get("action", 0))
    assert torch.equal(*actions)


def test_it_learns_the_optimum_of_a_one_step_problem(one_step_problem):
    assert TD3(one_step_problem).train(progress=False).final.mean > -0.01


def test_discrete_actions_are_refused(tiny_sac):
    tiny_sac["gym_env"]["env_name"] = "CartPole-v1"
    with pytest.raises(UnsupportedSpaceError, match="TD3 needs continuous actions, but 'CartPole-v1' has Discrete"):
        TD3(tiny_sac)
