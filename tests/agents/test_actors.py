import copy

import torch

from workspace_rl import Workspace
from workspace_rl.agents import SquashedGaussianActor


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
