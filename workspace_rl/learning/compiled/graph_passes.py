"""Passes over the graph of an update, which the compiler runs when gradients have become part of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

aten = torch.ops.aten
#: Elements that one instruction works on.
LANES = 16
VIEWS = (aten.view.default, aten.unsqueeze.default)
ROOTS = (aten.sqrt.default, aten.rsqrt.default, aten.reciprocal.default, aten.div.Tensor)


class CheaperUpdates(CustomGraphPass):
    """Two things that torch's compiler leaves undone on a CPU.

    - A bias is added by the kernel that follows the product, mostly an activation, instead of being copied to where
      the product is then added to it.
    - What all elements of a tensor need but is one number, such as Adam's step size (two powers, a root, quotients), is
      computed once, not anew for every sixteen elements; so is what all rows need but is one vector, such as what a
      batch is normalised by (roots and quotients for each feature), which else is computed anew for every row.
    """

    def __call__(self, graph: fx.Graph) -> None:
        """Change the graph in place; what it computes stays the same, up to rounding."""
        slow = _slow_nodes(graph)
        for node in list(graph.nodes):
            if node.op != "call_function":
                continue
            if node.target is aten.addmm.default and not node.kwargs and all(map(_is_elementwise, node.users)):
                _split_off_bias(graph, node)
            elif _is_spread(node, slow):
                node.meta["inductor_realize_to_strides"] = True  # the compiler's mark for what gets a place in memory

    def uuid(self) -> Any:
        """Return what identifies the passes in the compiler's cache."""
        return get_hash_for_files((__file__,))


def _size(node: fx.Node) -> int:
    value = node.meta.get("val")
    return value.numel() if isinstance(value, Tensor) else 0


def _is_spread(node: fx.Node, slow: set[fx.Node]) -> bool:
    """Whether many elements need each one that this node computes, and computing it anew for each would be slow."""
    size = _size(node)
    if size == 1:
        return any(_size(one) > 1 for one in node.users)
    return node in slow and size >= LANES and any(_size(one) >= LANES * size for one in _readers(node))


def _slow_nodes(graph: fx.Graph) -> set[fx.Node]:
    """Return the nodes whose elements take a root or a quotient, themselves or in elements that they are made of."""
    slow: set[fx.Node] = set()
    for node in graph.nodes:
        if _is_elementwise(node):
            size = _size(node)
            if node.target in ROOTS or any(one in slow and _size(one) == size for one in node.all_input_nodes):
                slow.add(node)
    return slow


def _readers(node: fx.Node) -> Iterator[fx.Node]:
    """Yield the elementwise operations that read a node, through views of it, too."""
    for one in node.users:
        if one.target in VIEWS:
            yield from _readers(one)
        elif _is_elementwise(one) or one.target is aten.expand.default:
            yield one


def _is_elementwise(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and torch.Tag.pointwise in node.target.tags


def _split_off_bias(graph: fx.Graph, node: fx.Node) -> None:
    bias, left, right = node.args
    with graph.inserting_before(node):
        product = graph.call_function(aten.mm.default, (left, right))
        total = graph.call_function(aten.add.Tensor, (product, bias))
    product.meta, total.meta = dict(node.meta), dict(node.meta)
    node.replace_all_uses_with(total)
    graph.erase_node(node)
