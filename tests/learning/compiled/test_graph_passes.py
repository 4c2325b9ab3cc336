"""Passes over the compiler's graph: what they change, and that the numbers stay."""

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from workspace_rl.learning.compiled.graph_passes import CheaperUpdates

aten = torch.ops.aten


def passed(function, *arguments):
    """Return the graph of `function` after the passes, its results being what they were."""
    module = make_fx(function, tracing_mode="real")(*arguments)
    for node in module.graph.nodes:
        if "tensor_meta" in node.meta:
            node.meta.setdefault("val", torch.empty(node.meta["tensor_meta"].shape, device="meta"))
    expected = module(*arguments)
    CheaperUpdates()(module.graph)
    module.graph.lint()
    module.recompile()
    torch.testing.assert_close(module(*arguments), expected)
    return module.graph


def targets(graph):
    return [node.target for node in graph.nodes if node.op == "call_function"]


def test_a_bias_is_added_by_what_follows_the_product():
    x, weight, bias = torch.randn(4, 3), torch.randn(3, 2), torch.randn(2)
    graph = passed(lambda x, weight, bias: aten.relu(aten.addmm(bias, x, weight)), x, weight, bias)
    assert targets(graph) == [aten.mm.default, aten.add.Tensor, aten.relu.default]
    # As it was, where nothing follows that passes over the product anyway, and where it is scaled.
    graph = passed(lambda x, weight, bias: aten.mm(aten.addmm(bias, x, weight), weight.t()), x, weight, bias)
    assert aten.addmm.default in targets(graph)
    graph = passed(lambda x, weight, bias: aten.relu(aten.addmm(bias, x, weight, beta=2)), x, weight, bias)
    assert targets(graph)[0] == aten.addmm.default


def test_numbers_that_tensors_are_computed_from_are_computed_once():
    def step(parameter, count):
        count = count + 1
        size = 0.1 / (1 - 0.9**count)
        return parameter - size * parameter, count

    graph = passed(step, torch.randn(5), torch.tensor(3.0))
    marked = [node.target for node in graph.nodes if node.meta.get("inductor_realize_to_strides")]
    # The quotient, which the parameters read; neither what only leads to it nor what is no number.
    assert marked == [aten.mul.Tensor]


def test_roots_for_each_feature_are_computed_once_for_all_rows():
    def normalise(rows, var, shift):
        return (rows + shift) * (var + 1e-3).rsqrt().unsqueeze(0) * (2 * shift)

    graph = passed(normalise, torch.randn(300, 16), torch.rand(16), torch.randn(16))
    marked = [node.target for node in graph.nodes if node.meta.get("inductor_realize_to_strides")]
    # Neither the sum under the root, nor a product, which costs no more than reading it would.
    assert marked == [aten.rsqrt.default]
    few = passed(normalise, torch.randn(3, 16), torch.rand(16), torch.randn(16))
    assert not any(node.meta.get("inductor_realize_to_strides") for node in few.nodes)
