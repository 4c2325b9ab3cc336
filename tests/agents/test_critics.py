import copy

import pytest
import torch
from torch import nn

from workspace_rl import Workspace
from workspace_rl.agents import ContinuousQAgent, EnsembleMLP, build_mlp


def test_it_reads_and_writes_what_it_says():
    workspace = Workspace()
    workspace.set("env/env_obs", 0, torch.randn(5, 3))
    workspace.set("action", 0, torch.randn(5, 2))
    critic = ContinuousQAgent(3, [8, 8], 2, n_critics=4)
    critic(workspace, t=0)
    target = copy.deepcopy(critic).with_prefix("target-critic/")
    target(workspace, t=0)
    assert list(workspace) == ["env/env_obs", "action", "critic/q_values", "target-critic/q_values"]
    assert workspace.get("critic/q_values", 0).shape == (5, 4)
    assert torch.equal(workspace.get("critic/q_values", 0), workspace.get("target-critic/q_values", 0))


@pytest.mark.parametrize("hidden", [[7], [7, 6], [7, 6, 5]])
def test_an_ensemble_equals_separate_perceptrons(hidden):
    torch.manual_seed(0)
    ensemble = EnsembleMLP(3, hidden, n_members=2).double()
    inputs = torch.randn(10, 3, dtype=torch.float64)
    for member in range(2):
        single = build_mlp([3, *hidden, 1]).double()
        layers = [layer for layer in single if isinstance(layer, nn.Linear)]
        rows = slice(member * hidden[0], (member + 1) * hidden[0])
        with torch.no_grad():
            layers[0].weight.copy_(ensemble.first.weight[rows])
            layers[0].bias.copy_(ensemble.first.bias[rows])
            for own, other in zip(layers[1:-1], ensemble.middle, strict=True):
                own.load_state_dict(other[member].state_dict())
            layers[-1].weight.copy_(ensemble.last_weight[member : member + 1])
            layers[-1].bias.copy_(ensemble.last_bias[member : member + 1])
        assert torch.allclose(single(inputs).squeeze(-1), ensemble(inputs)[:, member], rtol=1e-12)


def test_members_are_initialised_as_linear_layers_are():
    torch.manual_seed(0)
    ensemble = EnsembleMLP(16, [64, 64], n_members=2)
    for weight, fan_in in ((ensemble.first.weight, 16), (ensemble.last_weight, 64), (ensemble.last_bias, 64)):
        assert weight.abs().max() <= fan_in**-0.5
    assert ensemble.last_weight.abs().max() > 0.9 * 64**-0.5


def test_hidden_layers_are_needed():
    with pytest.raises(ValueError, match="at least one hidden layer"):
        EnsembleMLP(3, [], 2)


def test_build_mlp():
    network = build_mlp([3, 5, 2], nn.Tanh, nn.Sigmoid)
    assert [type(layer) for layer in network] == [nn.Linear, nn.Tanh, nn.Linear, nn.Sigmoid]
