"""Exploration by noise on actions."""

import pytest
import torch

from workspace_rl import Agents, Collector, GymAgent, Workspace, load_policy, save_policy
from workspace_rl.agents.actors import DeterministicActor
from workspace_rl.agents.exploration import GaussianNoiseAgent, OrnsteinUhlenbeckNoiseAgent

AGENTS = [GaussianNoiseAgent(0.2), OrnsteinUhlenbeckNoiseAgent(sigma=0.1)]
B, A = 3, 2


def noises(agent, n_steps, action=0.0, timesteps=None, n_envs=B, n_actions=A):
    """Return what `agent` makes of `n_steps` constant actions, `[T, B, A]`."""
    workspace = Workspace()
    for t in range(n_steps):
        timestep = torch.full((n_envs,), t) if timesteps is None else timesteps[t]
        workspace.set("env/timestep", t, timestep)
        workspace.set("action", t, torch.full((n_envs, n_actions), action))
        agent(workspace, t=t)
    return workspace["action"]


@pytest.mark.parametrize("agent", AGENTS)
def test_each_environment_and_each_component_has_its_own_noise(agent):
    torch.manual_seed(0)
    flat = noises(agent.clone(), 20_000).flatten(1)
    correlations = torch.corrcoef(flat.T) - torch.eye(B * A)
    # Successive values of the drifting noise are correlated, so that there are about 20,000 / 13 independent ones.
    assert correlations.abs().max() < 0.1
    assert flat.std(0).min() > 0.1


@pytest.mark.parametrize("agent", AGENTS)
def test_without_exploration_there_is_no_noise_and_no_draw(agent):
    workspace, action, before = Workspace(), torch.full((B, A), 0.3), torch.get_rng_state()
    workspace.set("action", 0, action)
    agent(workspace, t=0, stochastic=False)
    assert workspace.get("action", 0) is action
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("action", [-1.0, 1.0])
def test_actions_stay_in_bounds(agent, action):
    noisy = noises(agent.clone(), 200, action)
    assert noisy.min() >= -1 and noisy.max() <= 1 and noisy.std() > 0


def test_gaussian_noise_has_the_standard_deviation_it_is_given():
    torch.manual_seed(0)
    drawn = noises(GaussianNoiseAgent(0.1), 10_000).flatten()
    assert drawn.std().item() == pytest.approx(0.1, rel=0.02) and drawn.mean().abs() < 0.002
    assert torch.corrcoef(torch.stack((drawn[:-6], drawn[6:])))[0, 1].abs() < 0.02  # from one step to the next


def test_gaussian_noise_can_be_clipped():
    torch.manual_seed(0)
    drawn = noises(GaussianNoiseAgent(0.2, noise_clip=0.3), 10_000).flatten()
    assert drawn.abs().max() == torch.tensor(0.3)
    # Of a normal distribution, 13.36 % lies beyond 1.5 standard deviations.
    assert (drawn.abs() == torch.tensor(0.3)).float().mean().item() == pytest.approx(0.1336, abs=0.005)


def test_the_noise_follows_the_equation_of_ornstein_and_uhlenbeck():
    torch.manual_seed(5)
    drawn = noises(OrnsteinUhlenbeckNoiseAgent(theta=0.5, sigma=0.2, dt=0.25), 4)
    torch.manual_seed(5)
    x = torch.zeros(B, A)
    for t in range(4):
        x = x - 0.5 * x * 0.25 + 0.2 * 0.5 * torch.randn(B, A)
        torch.testing.assert_close(drawn[t], x)


def test_the_drifting_noise_has_the_deviation_and_the_memory_that_it_says():
    torch.manual_seed(0)
    drawn = noises(OrnsteinUhlenbeckNoiseAgent(sigma=0.1), 20_000)[100:].flatten(1)
    assert drawn.std().item() == pytest.approx(0.1 / (0.15 * (2 - 0.15)) ** 0.5, rel=0.05)
    one_step = torch.corrcoef(torch.stack((drawn[:-1, 0], drawn[1:, 0])))[0, 1]
    assert one_step.item() == pytest.approx(1 - 0.15, abs=0.02)


def test_the_drifting_noise_starts_from_zero_in_each_episode_of_each_environment():
    agent = OrnsteinUhlenbeckNoiseAgent(theta=0.15, sigma=0.0)
    agent._noise = torch.full((B, A), 0.5)
    timesteps = [torch.tensor([7, 0, 3]), torch.tensor([8, 1, 0])]
    drawn = noises(agent, 2, timesteps=timesteps)
    kept = 0.5 * 0.85
    torch.testing.assert_close(drawn[0], torch.tensor([[kept] * A, [0.0] * A, [kept] * A]))
    torch.testing.assert_close(drawn[1], torch.tensor([[kept * 0.85] * A, [0.0] * A, [0.0] * A]))


def test_the_drifting_noise_goes_on_in_a_new_workspace():
    torch.manual_seed(1)
    whole = noises(OrnsteinUhlenbeckNoiseAgent(), 6)
    torch.manual_seed(1)
    agent = OrnsteinUhlenbeckNoiseAgent()
    first = noises(agent, 3)
    second = noises(agent, 3, timesteps=[torch.full((B,), t) for t in (3, 4, 5)])
    assert torch.equal(whole, torch.cat((first, second)))


def test_a_collector_goes_on_with_its_own_noise_when_it_takes_over_weights():
    def collected(*sizes):
        torch.manual_seed(2)
        policy = Agents(DeterministicActor(3, [4], 1), OrnsteinUhlenbeckNoiseAgent())
        collector = Collector(GymAgent("Pendulum-v1", n_envs=2, seed=1), policy)
        actions = []
        for size in sizes:
            actions.append(collector.collect(size)["action"])
            noise = collector.policy[1]._noise.clone()
            collector.load_policy(policy)
            assert torch.equal(collector.policy[1]._noise, noise)
        assert policy[1]._noise is None
        return torch.cat(actions)

    # Pendulum's episodes have 200 steps: one ends on the way.
    assert torch.equal(collected(210), collected(1, 9, 200))


def test_a_policy_with_noise_can_be_saved(tmp_path):
    policy = Agents(DeterministicActor(3, [4], 2), OrnsteinUhlenbeckNoiseAgent(sigma=0.3), GaussianNoiseAgent(0.1, 0.2))
    save_policy(policy, tmp_path)
    loaded = load_policy(tmp_path)
    assert (loaded[1].sigma, loaded[2].sigma, loaded[2].noise_clip) == (0.3, 0.1, 0.2)
    actions = []
    for one in (policy, loaded):
        workspace = Workspace()
        workspace.set("env/env_obs", 0, torch.linspace(-1, 1, 12).reshape(4, 3))
        one(workspace, t=0, stochastic=False)
        actions.append(workspace.get("action", 0))
    assert torch.equal(*actions)
