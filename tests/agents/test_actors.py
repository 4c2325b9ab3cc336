import copy

import pytest
import torch
from torch import distributions

from workspace_rl import Workspace
from workspace_rl.agents import SquashedGaussianActor, squashed_gaussian_log_prob


def workspace_with(observation):
    workspace = Workspace()
    workspace.set("env/env_obs", 0, observation)
    return workspace


def test_it_reads_and_writes_what_it_says():
    actor, workspace = SquashedGaussianActor(3, [8], 2), workspace_with(torch.randn(5, 3))
    actor(workspace, t=0)
    assert list(workspace) == ["env/env_obs", "action", "action_logprobs"]
    assert workspace.get("action", 0).shape == (5, 2) and workspace.get("action_logprobs", 0).shape == (5,)
    assert workspace.get("action", 0).abs().max() <= 1


def test_log_probabilities_are_those_of_the_transformed_distribution():
    torch.manual_seed(0)
    mean, log_std = torch.randn(100, 3, dtype=torch.float64), torch.randn(100, 3, dtype=torch.float64)
    noise = torch.randn(100, 3, dtype=torch.float64)
    u = mean + log_std.exp() * noise
    base = distributions.Normal(mean, log_std.exp())
    squashed = distributions.TransformedDistribution(base, distributions.TanhTransform(cache_size=1))
    expected = squashed.log_prob(torch.tanh(u)).sum(-1)
    near = u.abs().amax(-1) < 10  # beyond, the other side's arctanh loses its digits
    assert torch.allclose(squashed_gaussian_log_prob(noise, log_std, u)[near], expected[near], rtol=1e-8)


@pytest.mark.parametrize("u", [-60.0, -20.0, 0.0, 20.0, 60.0])
def test_log_probabilities_stay_finite_where_the_density_underflows(u):
    u = torch.tensor([[u]], requires_grad=True)
    value = squashed_gaussian_log_prob(torch.zeros(1, 1), torch.zeros(1, 1), u)
    # log(1 - tanh(u)^2) -> log 4 - 2|u|
    if u.abs() > 10:
        assert value.item() == pytest.approx(-0.918938533 - 1.386294361 + 2 * u.abs().item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(value, u)
    assert torch.isfinite(value) and torch.isfinite(gradient)


def test_deterministic_actions_are_repeatable_and_draw_no_random_numbers():
    actor, workspace = SquashedGaussianActor(3, [8], 2), workspace_with(torch.randn(5, 3))
    before = torch.get_rng_state()
    actor(workspace, t=0, stochastic=False)
    first = workspace.get("action", 0)
    actor(workspace, t=0, stochastic=False)
    assert torch.equal(first, workspace.get("action", 0))
    assert torch.equal(before, torch.get_rng_state())
    assert "action_logprobs" not in workspace


def test_it_can_be_copied_after_use():
    actor = SquashedGaussianActor(3, [8], 2)
    actor(workspace_with(torch.randn(5, 3)), t=0)
    copy.deepcopy(actor)


def test_gradients_reach_every_parameter():
    actor, workspace = SquashedGaussianActor(3, [8, 8], 2), workspace_with(torch.randn(5, 3))
    actor(workspace, t=0)
    (workspace.get("action", 0).sum() + workspace.get("action_logprobs", 0).sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in actor.parameters())


def test_without_hidden_layers_it_is_linear():
    actor, workspace = SquashedGaussianActor(3, [], 2), workspace_with(torch.randn(5, 3))
    actor(workspace, t=0)
    assert workspace.get("action", 0).shape == (5, 2)
