import copy

import pytest
import torch
from torch import nn

from workspace_rl import Workspace, load_policy, save_policy, setup_optimizer
from workspace_rl.agents import DiscreteQAgent, DuelingHead
from workspace_rl.errors import CompositionError, UnsupportedSpaceError

IMAGES = (4, 84, 84)


def evaluate(agent, observation):
    workspace = Workspace()
    workspace.set("env/env_obs", 0, observation)
    agent(workspace, t=0)
    return workspace.get(f"{agent.prefix}q_values", 0)


def pictures(n=3, shape=IMAGES):
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_it_reads_and_writes_what_it_says():
    workspace = Workspace()
    workspace.set("env/env_obs", 0, torch.randn(5, 3))
    agent = DiscreteQAgent([3], [8, 8], 2)
    agent(workspace, t=0)
    copy.deepcopy(agent).with_prefix("target-q/")(workspace, t=0)
    assert list(workspace) == ["env/env_obs", "q/q_values", "target-q/q_values"]
    assert workspace.get("q/q_values", 0).shape == (5, 2)
    assert torch.equal(workspace.get("q/q_values", 0), workspace.get("target-q/q_values", 0))


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("head", [[], [6]])
def test_head_and_body_are_parts_of_their_own(dueling, head):
    agent = DiscreteQAgent([3], [8, 7], 2, dueling=dueling, head_hidden_sizes=head)
    observation = torch.randn(5, 3)
    features = agent.body(observation)
    assert features.shape == (5, 7) and features.min() >= 0
    assert torch.equal(evaluate(agent, observation), agent.head(features))
    # The body does not depend on the head: its weights fit into any other agent's.
    other = DiscreteQAgent([3], [8, 7], 4, dueling=not dueling)
    other.body.load_state_dict(agent.body.state_dict())
    assert torch.equal(other.body(observation), features)
    assert isinstance(agent.head, DuelingHead) == dueling


def test_without_hidden_layers_it_is_linear():
    agent = DiscreteQAgent([3], [], 2)
    observation = torch.randn(5, 3)
    assert torch.equal(evaluate(agent, observation), agent.head(observation))


def test_the_dueling_head_subtracts_the_mean_advantage():
    head = DuelingHead(1, [], 3)
    with torch.no_grad():
        for layer in (head.value[0], head.advantage[0]):
            layer.weight.zero_()
        head.value[0].bias.fill_(10)
        head.advantage[0].bias.copy_(torch.tensor([1.0, 2.0, 6.0]))
    # 10 + (1 - 3), 10 + (2 - 3), 10 + (6 - 3)
    assert head(torch.zeros(1, 1)).tolist() == [[8, 9, 13]]


def test_the_mean_of_dueling_values_is_the_state_value():
    torch.manual_seed(0)
    agent = DiscreteQAgent([3], [8], 4, dueling=True, head_hidden_sizes=[5]).double()
    observation = torch.randn(5, 3, dtype=torch.float64)
    value = agent.head.value(agent.body(observation)).squeeze(-1)
    torch.testing.assert_close(evaluate(agent, observation).mean(-1), value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dueling", [False, True])
def test_images_give_finite_values_and_gradients(dueling):
    agent = DiscreteQAgent(IMAGES, None, 6, network="nature_cnn", dueling=dueling)
    q_values = evaluate(agent, pictures())
    assert q_values.shape == (3, 6) and q_values.dtype == torch.float32
    gradients = torch.autograd.grad(q_values.square().sum(), list(agent.parameters()))
    assert q_values.isfinite().all() and all(gradient.isfinite().all() for gradient in gradients)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_the_layers_are_those_of_the_paper():
    body = DiscreteQAgent(IMAGES, None, 6, network="nature_cnn").body
    convolutions = [layer for layer in body.convolutions if isinstance(layer, nn.Conv2d)]
    found = [(one.in_channels, one.out_channels, one.kernel_size[0], one.stride[0]) for one in convolutions]
    assert found == [(4, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1)]
    assert [tuple(one.weight.shape) for one in body.linear if isinstance(one, nn.Linear)] == [(512, 3136)]
    assert all(one.weight.is_contiguous(memory_format=torch.channels_last) for one in convolutions)


@pytest.mark.parametrize("shape", [IMAGES, (1, 84, 84), (3, 60, 36)])
def test_gradients_lie_in_memory_as_their_weights_do(shape):
    # A fused optimiser pairs them element by element in memory.
    agent = DiscreteQAgent(shape, [16], 2, network="nature_cnn")
    weights = list(agent.parameters())
    for n in (1, 3):
        gradients = torch.autograd.grad(evaluate(agent, pictures(n, shape)).square().sum(), weights)
        for weight, gradient in zip(weights, gradients, strict=True):
            sizes = [(one, size) for one, size in zip(weight.stride(), weight.shape, strict=True) if size > 1]
            assert sizes == [(one, size) for one, size in zip(gradient.stride(), weight.shape, strict=True) if size > 1]


def test_a_fused_step_on_images_equals_a_plain_one():
    fused = DiscreteQAgent(IMAGES, [16], 2, network="nature_cnn")
    plain = copy.deepcopy(fused)
    for agent, is_fused in ((fused, True), (plain, False)):
        optimizer = setup_optimizer({"classname": "torch.optim.Adam", "lr": 1e-3, "fused": is_fused}, agent)
        loss = evaluate(agent, pictures()).square().mean()
        for parameter, gradient in zip(
            agent.parameters(), torch.autograd.grad(loss, list(agent.parameters())), strict=True
        ):
            parameter.grad = gradient
        optimizer.step()
    for one, other in zip(fused.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        {"observation_shape": [3], "hidden_sizes": [8], "dueling": True, "head_hidden_sizes": [4]},
        {"observation_shape": IMAGES, "hidden_sizes": [], "network": "nature_cnn", "head_hidden_sizes": [16]},
    ],
)
def test_it_is_saved_and_loaded(arguments, tmp_path):
    agent = DiscreteQAgent(**arguments, n_actions=3, activation=nn.ELU, name="q").with_prefix("mine/")
    save_policy(agent, tmp_path)
    loaded = load_policy(tmp_path)
    assert (loaded.name, loaded.prefix) == ("q", "mine/")
    observation = pictures() if "network" in arguments else torch.randn(5, 3)
    assert torch.equal(evaluate(agent, observation), evaluate(loaded, observation))


def test_a_frozen_body_stays_as_it_is():
    agent = DiscreteQAgent([3], [8], 2)
    agent.body.requires_grad_(False)
    evaluate(agent, torch.randn(5, 3)).sum().backward()
    assert all(one.grad is None for one in agent.body.parameters())
    assert all(one.grad is not None for one in agent.head.parameters())


def test_what_does_not_fit_is_refused():
    with pytest.raises(
        CompositionError, match="knows the networks 'mlp', 'nature_cnn' and 'impala_cnn', 'nature' was given"
    ):
        DiscreteQAgent([3], [8], 2, network="nature")
    with pytest.raises(UnsupportedSpaceError, match=r"'mlp' is for vectors, not for observations of shape \[4, 84"):
        DiscreteQAgent(IMAGES, [8], 2)
