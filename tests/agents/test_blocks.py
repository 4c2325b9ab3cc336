import pytest
import torch
from torch import nn
from torch.nn import functional

from workspace_rl.agents import DeterministicActor, SquashedGaussianActor, build_mlp, build_network
from workspace_rl.agents.blocks import Dropout, ResidualMLPBlock
from workspace_rl.errors import ConfigError

SIMBA = ["Linear", "ResidualMLPBlock", "ResidualMLPBlock", "LayerNorm", "OutputLayer"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["Linear", "ReLU", "Linear", "ReLU", "OutputLayer"]),
        ({"dropout": 0.1}, ["Linear", "Dropout", "ReLU", "Linear", "Dropout", "ReLU", "OutputLayer"]),
        ({"block": "layer_norm"}, ["Linear", "LayerNorm", "ReLU", "Linear", "LayerNorm", "ReLU", "OutputLayer"]),
        ({"block": "layer_norm", "dropout": 0.1}, ["Linear", "Dropout", "LayerNorm", "ReLU"] * 2 + ["OutputLayer"]),
        ({"block": "residual"}, SIMBA),
    ],
)
def test_layers_stand_in_the_order_of_the_papers(options, expected):
    network = build_network(3, [8, 8], 2, **options)
    assert [type(layer).__name__ for layer in network] == expected
    assert network(torch.randn(5, 3)).shape == (5, 2)
    features = build_network(3, [8, 8], **options)
    assert [type(layer).__name__ for layer in features] == expected[:-1]
    assert features(torch.randn(5, 3)).shape == (5, 8)


def test_plain_networks_are_perceptrons_and_draw_the_same_weights():
    torch.manual_seed(0)
    one = build_network(3, [8, 6], 2, activation=nn.Tanh)
    torch.manual_seed(0)
    other = build_mlp([3, 8, 6, 2], nn.Tanh)
    assert str(one) == str(other)
    assert all(torch.equal(*pair) for pair in zip(one.parameters(), other.parameters(), strict=True))


def test_droq_s_layers_by_hand():
    """One layer of Hiraoka et al. 2022, figure 2 (right), with the numbers that dropout has left out."""
    torch.manual_seed(0)
    network = build_network(4, [16], 1, block="layer_norm", dropout=0.25).double()
    x, kept = torch.randn(8, 4, dtype=torch.float64), []
    network[1].register_forward_hook(lambda layer, inputs, output: kept.append(output != 0))
    values = network(x)
    hidden = kept[0] * (x @ network[0].weight.T + network[0].bias) / 0.75
    hidden = (hidden - hidden.mean(-1, keepdim=True)) / (hidden.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    expected = hidden.clamp(min=0) @ network[-1].weight.T + network[-1].bias
    torch.testing.assert_close(values, expected, rtol=1e-10, atol=1e-12)
    assert 0 < (~kept[0]).sum() < kept[0].numel() / 2


@pytest.mark.parametrize("width", [4, 10, 257])
def test_dropout_leaves_out_as_many_as_it_says_and_keeps_the_mean(width):
    torch.manual_seed(0)
    layer, ones = Dropout(0.1), torch.ones(40_000 // width + 1, width)
    dropped = layer(ones)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.9], rel=1e-4)
    share = (dropped == 0).float()
    deviation = (0.1 * 0.9 / share.numel()) ** 0.5
    assert abs(share.mean() - 0.1) < 4 * deviation and abs(dropped.mean() - 1) < 5 * deviation
    # each number by itself: those next to each other, and those of one draw, are left out together as rarely as any
    for apart in (1, -(-width // 2)):
        pairs = share[:, apart:] * share[:, :-apart]
        assert abs(pairs.mean() - 0.01) < 5 * (0.01 / pairs.numel()) ** 0.5
    assert not torch.equal(layer(ones), dropped)
    assert layer.eval()(ones) is ones
    assert Dropout(0.0)(ones) is ones


def test_dropout_is_a_function_of_the_generator_and_its_gradient_is_that_of_what_was_kept():
    layer, x = Dropout(0.3), torch.randn(6, 7, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(3)
    values = layer(x)
    torch.manual_seed(3)
    assert torch.equal(layer(x), values)
    (gradient,) = torch.autograd.grad(values.sum(), x)
    torch.testing.assert_close(gradient, values.detach() / x.detach())
    assert values.dtype == torch.float64 and layer(x.bfloat16()).dtype == torch.bfloat16
    assert layer(torch.ones(2, 3, 5)).shape == (2, 3, 5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's, of itself
def test_compiled_dropout_leaves_out_the_same_numbers():
    layer, x = Dropout(0.3), torch.randn(7, 13)  # neither is a multiple of what a processor does at once
    compiled = torch.compile(layer, fullgraph=True, options={"fallback_random": True})
    for seed in range(5):
        torch.manual_seed(seed)
        expected = layer(x)
        torch.manual_seed(seed)
        torch.testing.assert_close(compiled(x), expected)


def test_a_residual_block_by_hand_and_its_first_weights():
    torch.manual_seed(0)
    block, x = ResidualMLPBlock(64).double(), torch.randn(6, 64, dtype=torch.float64)
    _, widening, _, narrowing = block.layers
    hidden = functional.linear(functional.layer_norm(x, [64]), widening.weight, widening.bias).relu()
    torch.testing.assert_close(block(x), x + functional.linear(hidden, narrowing.weight, narrowing.bias))
    assert widening.weight.shape == (256, 64) and narrowing.weight.shape == (64, 256)
    for layer in (widening, narrowing):
        assert float(layer.weight.detach().std()) == pytest.approx((2 / layer.in_features) ** 0.5, rel=0.03)
        assert not layer.bias.any()


def test_residual_networks_begin_and_end_with_orthogonal_layers():
    network = build_network(3, [16, 16], 2, block="residual")
    actor = SquashedGaussianActor(3, [16], 2, block="residual")
    for layer in (network[0], network[-1], actor.body[0], actor.mean, actor.log_std):
        weight = layer.weight if layer.weight.shape[0] < layer.weight.shape[1] else layer.weight.T
        torch.testing.assert_close(weight @ weight.T, torch.eye(len(weight)), rtol=0, atol=1e-5)
        assert not layer.bias.any()
    assert isinstance(DeterministicActor(3, [16], 2, block="residual").model[1], ResidualMLPBlock)


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        (
            [8],
            {"block": "layernorm"},
            "block: one of plain, layer_norm, .*'layernorm' found. Did you mean 'layer_norm'",
        ),
        ([8, 4], {"block": "residual"}, r"sizes that are all the same expected of residual blocks, \[8, 4\] found"),
        ([], {"block": "residual"}, r"expected of residual blocks, \[\] found"),
        ([8], {"block": "residual", "dropout": 0.1}, "dropout: 0 expected with residual blocks, 0.1 found"),
        ([8], {"dropout": 1.0}, "dropout: less than 1 expected, 1.0 found"),
    ],
)
def test_what_cannot_be_built_is_told(sizes, options, message):
    with pytest.raises(ConfigError, match=message):
        build_network(3, sizes, 1, **options)
