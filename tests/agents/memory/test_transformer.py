"""Attention over a window of steps, within episodes."""

import math

import pytest
import torch

from workspace_rl import Workspace
from workspace_rl.agents import TransformerAgent
from workspace_rl.agents.memory.attention import AttentionLayer

T, B = 13, 2


def frames(timestep=None, seed=0):
    torch.manual_seed(seed)
    workspace = Workspace()
    workspace.set_full("env/env_obs", torch.randn(T, B, 3, dtype=torch.float64))
    counting = torch.arange(5, 5 + T).unsqueeze(1).repeat(1, B)
    workspace.set_full("env/timestep", counting if timestep is None else timestep)
    return workspace


def some_memory(n_layers=1, window=4):
    torch.manual_seed(1)
    memory = TransformerAgent(3, 8, n_layers, 2, window).double()
    with torch.no_grad():
        for layer in memory.layers:
            layer.position.normal_()
    return memory


def full_attention(layer, inputs, episode):
    """A layer of attention by the book: all pairs of steps, and a mask."""
    n_steps, size = inputs.shape
    normed = layer.norm(inputs)
    keys, values = layer.key_value(normed).chunk(2, -1)
    query, width = layer.query(normed), size // layer.n_heads
    seen = []
    for head in range(layer.n_heads):
        own = slice(head * width, (head + 1) * width)
        rows = []
        for t in range(n_steps):
            near = [s for s in range(t + 1) if t - s < layer.window and episode[s] == episode[t]]
            scores = [query[t, own] @ keys[s, own] / math.sqrt(width) + layer.position[head, t - s] for s in near]
            weights = torch.softmax(torch.stack(scores), 0)
            rows.append(sum(weight * values[s, own] for weight, s in zip(weights, near, strict=True)))
        seen.append(torch.stack(rows))
    inputs = inputs + layer.out(torch.cat(seen, -1))
    return inputs + layer.perceptron(layer.norm_after(inputs))


@pytest.mark.parametrize(("n_layers", "window"), [(1, 2), (1, 4), (2, 4), (3, 3), (1, 30)])
def test_it_is_masked_attention_over_all_pairs_of_steps(n_layers, window):
    memory = some_memory(n_layers, window)
    timestep = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 0, 1, 2, 3, 4, 5], [0, *range(1, 13)]]).t()
    workspace = frames(timestep)
    memory(workspace)
    for environment in range(B):
        hidden = memory.embedding(workspace["env/env_obs"][:, environment])
        for layer in memory.layers:
            hidden = full_attention(layer, hidden, (timestep[:, environment] == 0).cumsum(0))
        torch.testing.assert_close(workspace["memory"][:, environment], memory.norm(hidden), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("n_layers", "window"), [(1, 4), (2, 3)])
def test_it_sees_its_reach_and_nothing_older_nor_later(n_layers, window):
    memory, workspace = some_memory(n_layers, window), frames()
    observation = workspace["env/env_obs"].requires_grad_()
    memory(workspace)
    assert memory.reach == n_layers * (window - 1)
    for t in (0, 5, T - 1):
        (gradient,) = torch.autograd.grad(workspace["memory"][t, :, 0].sum(), observation, retain_graph=True)
        seen = (gradient.abs().sum((1, 2)) > 0).nonzero().flatten().tolist()
        assert seen == list(range(max(0, t - memory.reach), t + 1))


def test_the_state_is_what_was_observed_and_how_much_of_it_counts():
    memory = some_memory(2, 3)
    timestep = torch.stack((torch.arange(T), torch.tensor([3, 4, 0, *range(1, 11)])), 1)
    whole, steps = frames(timestep), frames(timestep)
    memory(whole)
    for t in range(T):
        memory(steps, t=t)
    assert memory.state_variables == ("memory/inputs", "memory/count")
    for workspace in (whole, steps):
        assert workspace["memory/count"][:, 0].tolist() == [1, 2, 3, 4] + [4] * (T - 4)
        assert workspace["memory/count"][:, 1].tolist() == [1, 2, 1, 2, 3, 4] + [4] * (T - 6)
        for t in range(T):
            for environment in range(B):
                count = int(workspace["memory/count"][t, environment])
                kept = workspace["memory/inputs"][t, environment]
                assert kept.shape == (4, 3)
                expected = workspace["env/env_obs"][t - count + 1 : t + 1, environment]
                assert torch.equal(kept[4 - count :], expected)


def test_other_weights_go_on_from_the_same_state():
    old, new = some_memory(), some_memory()
    with torch.no_grad():
        new.embedding.weight.mul_(2)
    acting, whole, piece = frames(), frames(), frames().subtime(6)
    old(acting)
    new(whole)
    for name in old.state_variables:
        piece.set_full(f"{name}/before", acting[name][5:6])
    new(piece)
    torch.testing.assert_close(piece["memory"], whole["memory"][6:])


@pytest.mark.parametrize("n_layers", [1, 2])
def test_frames_before_a_window_are_as_good_as_its_state(n_layers):
    memory = some_memory(n_layers)
    whole, window = frames(), frames().subtime(2)
    memory(whole)
    memory(window)
    assert not memory.stores_state
    torch.testing.assert_close(window["memory"][memory.reach :], whole["memory"][2 + memory.reach :])
    assert not torch.allclose(window["memory"][memory.reach - 1], whole["memory"][1 + memory.reach])


def test_a_layer_adds_little_at_first():
    torch.manual_seed(0)
    layer = AttentionLayer(16, 4, 3, 0.0)
    inputs = torch.randn(2, 9, 16)
    assert torch.equal(layer(inputs, torch.zeros(2, 9)), inputs[:, 2:])
