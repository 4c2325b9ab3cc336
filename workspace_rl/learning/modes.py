"""Evaluation mode, and acting that changes nothing of an agent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


@contextlib.contextmanager
def evaluation_mode(*agents: Any) -> Iterator[None]:
    """Put all modules of `agents` into evaluation mode within the block; each gets back its own mode afterwards."""
    training = [part for part in _parts(agents) if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


@contextlib.contextmanager
def acting(*agents: Any) -> Iterator[None]:
    """Let `agents` act in evaluation mode, without gradients; afterwards nothing of them has changed.

    Dropout blurs nothing then, and batch normalisation uses its running statistics. The mode of each module, its
    parameters and its buffers are put back as they were: those also that an agent changes while it acts, such as
    counters. Other attributes are not looked after: what belongs to an agent's state is a buffer.
    """
    parts = _parts(agents)
    kept = [(part, _Kept(part._parameters), _Kept(part._buffers)) for part in parts]
    with evaluation_mode(*agents), torch.no_grad():
        try:
            yield
        finally:
            for part, parameters, buffers in kept:
                parameters.put_back()
                buffers.put_back()
                part._non_persistent_buffers_set &= part._buffers.keys()


class _Kept:
    """The tensors of a module, as they are now."""

    def __init__(self, slots: dict[str, Any]) -> None:
        self.slots = slots
        self.tensors = {name: one for name, one in slots.items() if one is None or not is_lazy(one)}
        self.values = {name: one.detach().clone() for name, one in self.tensors.items() if one is not None}

    def put_back(self) -> None:
        for name in self.slots.keys() - self.tensors.keys():
            # What was created at the first call cannot be taken back.
            if not isinstance(self.slots[name], nn.Parameter):
                del self.slots[name]
        for name, tensor in self.tensors.items():
            self.slots[name] = tensor
            if tensor is not None and not _same(tensor, self.values[name]):
                tensor.data = self.values[name]


def _same(tensor: Tensor, value: Tensor) -> bool:
    return tensor.shape == value.shape and tensor.dtype == value.dtype and torch.equal(tensor, value)


def _parts(agents: tuple[Any, ...]) -> list[nn.Module]:
    modules = [agent for agent in agents if isinstance(agent, nn.Module)]
    return list(dict.fromkeys(part for module in modules for part in module.modules()))
