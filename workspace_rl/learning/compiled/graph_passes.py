"""Passes over the graph of an update, which the compiler runs when gradients have become part of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

aten = torch.ops.aten


class CheaperUpdates(CustomGraphPass):
    """Two things that torch's compiler leaves undone on a CPU.

    - A bias is added by the kernel that follows the product, mostly an activation, instead of being copied to where
      the product is then added to it.
    - What all elements of a tensor need but is one number, such as Adam's step size (two powers, a root, quotients), is
      computed once, not anew for every sixteen elements.
    """

    def __call__(self, graph: fx.Graph) -> None:
        """Change the graph in place; what it computes stays the same, up to rounding."""
        for node in list(graph.nodes):
            if node.op != "call_function":
                continue
            if node.target is aten.addmm.default and not node.kwargs and all(map(_is_elementwise, node.users)):
                _split_off_bias(graph, node)
            elif _size(node) == 1 and any(_size(one) > 1 for one in node.users):
                node.meta["inductor_realize_to_strides"] = True  # the compiler's mark for what gets a place in memory

    def uuid(self) -> Any:
        """Return what identifies the passes in the compiler's cache."""
        return get_hash_for_files((__file__,))


def _size(node: fx.Node) -> int:
    value = node.meta.get("val")
    return value.numel() if isinstance(value, Tensor) else 0


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
