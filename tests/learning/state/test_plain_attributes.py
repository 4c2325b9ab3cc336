"""Plain attributes of modules: what acting changes in them is found, put back, and begun anew."""

import threading
from collections import deque

import numpy as np
import torch
from torch import nn

from workspace_rl.learning.state.plain_attributes import PlainAttributes


class Keeping(nn.Module):
    """Changes attributes of every kind."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("buffer", torch.zeros(2))
        self.count, self.noise, self.history = 0, None, deque([0], maxlen=3)
        self.array, self.in_place = np.zeros(2), torch.zeros(2)
        self.rng = np.random.default_rng(1)
        self.lock = None

    def act(self):
        self.count += 1
        self.noise = torch.randn(3)
        self.history.append(self.count)
        self.array += 1
        self.in_place += 1
        self.lock = threading.Lock()  # cannot be pickled
        self.new = {"count": self.count}
        self.buffer += 1
        return self.rng.random()

    def seen(self):
        noise = None if self.noise is None else self.noise.tolist()
        return (
            self.count, noise, list(self.history), self.array.tolist(), self.in_place.tolist(),
            getattr(self, "new", None), self.rng.bit_generator.state["state"],
        )  # fmt: skip


def test_what_changed_is_put_back_into_another_module():
    one, other = nn.Sequential(Keeping(), nn.ReLU()), nn.Sequential(Keeping(), nn.ReLU())
    attributes, others = PlainAttributes([one]), PlainAttributes([other])
    for _ in range(5):
        one[0].act()
    captured = attributes.capture()
    at_the_time = one[0].seen()
    one[0].act()
    others.restore(captured)
    assert other[0].seen() == at_the_time and other[0].buffer.sum() == 0
    other[0].act(), other[0].act()  # what was captured is a copy
    others.restore(captured)
    assert other[0].seen() == at_the_time


def test_they_begin_as_they_were_at_first():
    module = Keeping()
    first = module.seen()
    attributes = PlainAttributes([module, module])
    for _ in range(2):
        module.act()
        assert module.seen() != first
        attributes.restore()
        assert module.seen() == first and not hasattr(module, "new") and module.lock is None
    assert module.buffer.tolist() == [2, 2]


def test_of_modules_that_keep_nothing_there_is_nothing_to_tell():
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    attributes = PlainAttributes([module])
    module(torch.zeros(1, 2)).sum().backward()
    module.train(False)
    assert attributes.capture() == b""


class Listing(nn.Module):
    """Keeps what it acts by, and how often it did, in plain collections."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("scale", torch.ones(2))
        self.layers, self.by_name = [self.layer, 0], {"weight": self.layer.weight, "scale": self.scale}


def test_modules_and_weights_in_collections_stay_those_that_act():
    one, other = Listing(), Listing()
    attributes, others = PlainAttributes([one]), PlainAttributes([other])
    one.layers[1] = 3
    captured = attributes.capture()
    for module, restore in ((one, attributes.restore), (other, lambda: others.restore(captured))):
        restore()
        assert module.layers[0] is module.layer and module.layers[1] == (0 if module is one else 3)
        assert module.by_name["weight"] is module.layer.weight and module.by_name["scale"] is module.scale
