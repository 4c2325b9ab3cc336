import pytest
import torch
from torch import nn

from workspace_rl.agents import NatureCNN, build_mlp
from workspace_rl.agents.networks import orthogonal, run_layers


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
