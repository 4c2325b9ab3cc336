import pytest
import torch
from torch import nn

from workspace_rl.agents import NatureCNN, build_mlp
from workspace_rl.agents.networks import orthogonal


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
