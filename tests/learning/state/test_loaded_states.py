"""What is loaded shares no memory with what it was loaded from, and what is read none with what goes on."""

import copy
import inspect

import pytest
import torch
from torch import nn

from workspace_rl import ReplayBuffer, Workspace, minimise, setup_optimizer
from workspace_rl.basics.seeding import RandomState
from workspace_rl.learning.finite_watch import UpdateWatch
from workspace_rl.learning.state.training_state import load_state, read_state

REFUSED = {"LBFGS", "SparseAdam", "Muon", "Optimizer"}
OPTIMIZERS = [
    {"classname": f"torch.optim.{name}", "lr": 0.01}
    for name, one in sorted(vars(torch.optim).items())
    if inspect.isclass(one) and issubclass(one, torch.optim.Optimizer) and name not in REFUSED
]
OPTIMIZERS += [
    {"classname": "torch.optim.Adam", "lr": 0.01, "fused": False, "amsgrad": True},
    {"classname": "torch.optim.SGD", "lr": 0.01, "momentum": 0.9},
    {"classname": "torch.optim.RMSprop", "lr": 0.01, "momentum": 0.9, "centered": True},
]


class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.number = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.norm = nn.BatchNorm1d(2)
        self.seen = [torch.zeros(2)]

    def get_extra_state(self):
        return self.seen[0]

    def set_extra_state(self, state):
        self.seen = [state]


def parts_of(config):
    torch.manual_seed(0)
    part = Part()
    return {"part": part, "optimizer": setup_optimizer(config, part)}


def learn(parts, k):
    part = parts["part"]
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(k))
    minimise(part.norm(part.layer(x) + part.number.float()).pow(3).mean(), parts["optimizer"])
    part.seen[0].add_(1)


def assert_equal(one, other):
    (tensors, plain), (others, other_plain) = one, other
    assert tensors.keys() == others.keys() and plain == other_plain
    for name, value in tensors.items():
        assert value.dtype == others[name].dtype and torch.equal(value, others[name]), name


@pytest.mark.parametrize("config", OPTIMIZERS, ids=str)
def test_one_state_may_be_loaded_twice(config):
    original = parts_of(config)
    for k in range(3):
        learn(original, k)
    state = read_state(original)
    before = copy.deepcopy(state)
    found = []
    for parts in (parts_of(config), parts_of(config)):
        load_state(parts, *state)
        assert_equal(read_state(parts), before)
        for k in range(3):
            learn(parts, k)
        assert_equal(state, before)
        found.append(read_state(parts))
    for k in range(3):
        learn(original, k)
    assert_equal(state, before)
    for one in found:
        assert_equal(one, read_state(original))


@pytest.mark.parametrize("config", OPTIMIZERS, ids=str)
def test_a_state_without_steps_makes_an_optimiser_new(config):
    parts = parts_of(config)
    state = read_state(parts)
    learn(parts, 0)
    expected = read_state(parts)
    for k in range(1, 4):
        learn(parts, k)
    load_state(parts, *state)
    learn(parts, 0)
    assert_equal(read_state(parts), expected)


def test_random_states():
    state = RandomState(1, 0)
    with state:
        captured = {name: one.clone() for name, one in state.capture().items()}
        expected = torch.rand(3)
    before = copy.deepcopy(captured)
    for _ in range(2):
        state.restore(captured)
        captured["torch"].zero_()
        with state:
            assert torch.equal(torch.rand(3), expected)
        captured = copy.deepcopy(before)


def frames(k):
    workspace = Workspace()
    workspace.set_full("x", torch.full((4, 2, 1), float(k)))
    workspace.set_full("env/done", torch.zeros(4, 2, dtype=torch.bool))
    return workspace


def test_rings():
    ring, other = ReplayBuffer(100, ["x"]), ReplayBuffer(100, ["x"])
    given = frames(1)
    ring.put(given)
    rows = ring.read_rows(0, 4)
    other.restore(ring.describe(), [(0, rows)])
    ring.put(frames(2))
    sample = other.sample(8)
    for tensor in (*rows.values(), given.get_full("x"), sample.get_full("x")):
        tensor.zero_()
    assert (other.sample(8).get_full("x") == 1).all() and (ring.read_rows(0, 4)["x"] == 1).all()


def test_watches():
    batch = Workspace()
    batch.set_full("x", torch.ones(2, 3))
    watch = UpdateWatch(batch)
    watch.note(batch, torch.full((2,), torch.nan), {"loss": torch.tensor(torch.nan)})
    kept, metrics = watch.first_bad(["loss"])
    kept.get_full("x").zero_()
    metrics["loss"].zero_()
    kept, metrics = watch.first_bad(["loss"])
    assert (kept.get_full("x") == 1).all() and metrics["loss"].isnan()
