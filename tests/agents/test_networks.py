import pytest
import torch
from torch import nn

from workspace_rl import Workspace
from workspace_rl.agents import (
    CategoricalActor,
    ContinuousQAgent,
    DeterministicActor,
    DiscreteQAgent,
    GaussianActor,
    NatureCNN,
    SquashedGaussianActor,
    StateDependentExplorationActor,
    ValueAgent,
    build_mlp,
)
from workspace_rl.agents.networks import NoisyOutputLayer, OutputLayer, orthogonal, run_layers
from workspace_rl.learning.state.training_state import classes_of


@pytest.mark.parametrize("gain", [0.01, 1.0, 2**0.5])
@pytest.mark.parametrize("make", [lambda: build_mlp([6, 9, 4]), lambda: NatureCNN((2, 40, 40), [8])])
def test_orthogonal_weights(make, gain):
    module = make()
    strides = [one.stride() for one in module.parameters()]
    assert orthogonal(module, gain) is module
    layers = [one for one in module.modules() if isinstance(one, nn.Linear | nn.Conv2d)]
    for layer in layers:
        weight = layer.weight.flatten(1) / gain
        weight = weight if weight.shape[0] <= weight.shape[1] else weight.T
        torch.testing.assert_close(weight @ weight.T, torch.eye(len(weight)), rtol=0, atol=1e-5)
        assert not layer.bias.any() and layer.weight.requires_grad
    assert len(layers) >= 2
    # Convolutions lie in memory as before, which is how they are fastest.
    assert [one.stride() for one in module.parameters()] == strides


def test_layers_without_biases_have_weights_alone():
    assert orthogonal(nn.Linear(2, 2, bias=False), 1.0).bias is None


@pytest.mark.parametrize("hooked", [None, "layers", "layer", "activation"])
def test_layers_that_are_run_give_what_they_give_when_called_and_hooks_run(hooked):
    layers, x, calls = build_mlp([3, 5, 2], torch.nn.Tanh, torch.nn.Tanh), torch.randn(4, 3), []
    places = {"layers": layers, "layer": layers[2], "activation": layers[1]}
    if hooked:
        places[hooked].register_forward_hook(lambda *args: calls.append(1))
    assert run_layers(layers, x).equal(layers(x))
    assert len(calls) == (2 if hooked else 0)
    assert run_layers(layers[0], x).equal(layers[0](x))
    deeper = torch.nn.Sequential(layers, torch.nn.Softmax(-1))
    assert run_layers(deeper, x).equal(deeper(x))


BLOCKS = ("plain", "layer_norm", "residual", "batch_renorm")
AGENTS = {
    **{f"critics, {block}": lambda block=block: ContinuousQAgent(5, [16, 16], 2, block=block) for block in BLOCKS},
    "critics, dropout": lambda: ContinuousQAgent(5, [16], 2, dropout=0.1),
    **{
        f"quantiles, {block}": lambda block=block: ContinuousQAgent(5, [16, 16], 2, n_quantiles=3, block=block)
        for block in BLOCKS
    },
    "actor": lambda: DeterministicActor(5, [16], 2),
    "squashed Gaussian": lambda: SquashedGaussianActor(5, [16], 2),
    "squashed Gaussian without hidden layers": lambda: SquashedGaussianActor(5, [], 2),
    "smooth": lambda: StateDependentExplorationActor(5, [16], 2),
    "Gaussian": lambda: GaussianActor(5, [16], 2, state_dependent_std=True),
    "categorical": lambda: CategoricalActor(5, [16], 3),
    "value": lambda: ValueAgent(5, [16]),
    "DQN": lambda: DiscreteQAgent([5], [16], 3),
    "DQN, noisy": lambda: DiscreteQAgent([5], [16], 3, noisy=True),
    "DQN, dueling": lambda: DiscreteQAgent([5], [16], 3, dueling=True, head_hidden_sizes=[16]),
    "DQN, dueling, noisy": lambda: DiscreteQAgent([5], [16], 3, dueling=True, noisy=True),
    "DQN, atoms": lambda: DiscreteQAgent([5], [16], 3, n_atoms=5),
    "DQN, quantiles": lambda: DiscreteQAgent([5], [16], 3, n_quantiles=5, dueling=True),
}


@pytest.mark.parametrize("make", AGENTS.values(), ids=AGENTS)
def test_what_leaves_a_network_is_exact_where_hidden_layers_are_coarse(make):
    """Values of 150 that are rounded to bfloat16 differ by 1, or not at all."""
    torch.manual_seed(0)
    agent, workspace, given = make(), Workspace(), {"env/env_obs", "action"}
    workspace.set("env/env_obs", 0, torch.randn(64, 5))
    if isinstance(agent, ContinuousQAgent | ValueAgent | DiscreteQAgent):
        workspace.set("action", 0, torch.rand(64, 2))
        last = [one for one in agent.modules() if isinstance(one, OutputLayer | NoisyOutputLayer)]
        for bias in [one.bias for one in last] or [agent.model.last_bias]:
            bias.data.add_(150)
    else:
        given.remove("action")
    with torch.autocast("cpu", torch.bfloat16):
        agent(workspace, t=0)
    numbers = {name: workspace.get(name, 0) for name in workspace.keys() - given}
    for name in [name for name, one in numbers.items() if one.is_floating_point()]:
        assert numbers[name].dtype == torch.float32
        assert not torch.equal(numbers[name], numbers[name].bfloat16().float()), name
        assert len(numbers[name].unique()) > 32, name


def test_hidden_layers_stay_coarse():
    features = build_mlp([5, 16, 16], output_activation=nn.ReLU)
    with torch.autocast("cpu", torch.bfloat16):
        assert features(torch.randn(4, 5)).dtype == torch.bfloat16


def test_checkpoints_call_last_layers_by_the_names_that_older_ones_have():
    parts = {"plain": build_mlp([2, 3, 1]), "noisy": build_mlp([2, 3, 1], noisy=True)}
    assert classes_of(parts) == {
        "plain": ["Sequential", "Linear", "ReLU", "Linear"],
        "noisy": ["NoisySequential", "NoisyLinear", "ReLU", "NoisyLinear"],
    }
