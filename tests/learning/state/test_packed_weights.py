"""Weights as bytes: what is packed and unpacked is the same bits, whatever kind of tensor it is."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from workspace_rl.errors import CompositionError
from workspace_rl.learning.state.packed_weights import PackedWeights

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
]  # fmt: skip


class Holding(nn.Module):
    """Holds values as parameters where they can be, and as buffers."""

    def __init__(self, **values):
        super().__init__()
        for name, value in values.items():
            if isinstance(value, nn.Parameter):
                self.register_parameter(name, value)
            else:
                self.register_buffer(name, value)


def drawn(dtype, *shape):
    return (10 * torch.randn(*shape, dtype=torch.float64)).to(dtype)


def same(one, other):
    """Whether two modules hold the same bits."""
    a, b = one.state_dict(), other.state_dict()
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype and a[name].shape == b[name].shape, name
        a_bytes, b_bytes = (x[name].contiguous().view(-1).view(torch.uint8) for x in (a, b))
        assert a_bytes.equal(b_bytes), name
    return True


def sent(weights, *, read_only=False):
    """Return weights as they arrive in another process."""
    weights = pickle.loads(pickle.dumps(weights))
    if read_only:
        weights.data.flags.writeable = False
    return weights


@pytest.mark.parametrize("read_only", [False, True])
def test_every_kind_of_number_is_the_same_bits_afterwards(read_only):
    def make(seed):
        torch.manual_seed(seed)
        parts = {str(dtype).replace(".", "_"): drawn(dtype, 3, 5) for dtype in DTYPES}
        parts |= {f"one_{name}": value[0, 0].clone() for name, value in parts.items()}  # without dimensions
        floats = {
            f"p_{name}": nn.Parameter(value.clone()) for name, value in parts.items() if value.is_floating_point()
        }
        return Holding(**parts, **floats, empty=torch.empty(0, 4), special=torch.tensor([np.nan, np.inf, -0.0]))

    source, target = make(0), make(1)
    sent(PackedWeights.of(source), read_only=read_only).load_into(target)
    assert same(source, target)
    source.p_torch_float32.data += 1  # what is packed is a copy
    assert not torch.equal(source.p_torch_float32, target.p_torch_float32)


def test_tensors_that_lie_scattered_arrive_whole():
    base = torch.arange(60, dtype=torch.float32).view(6, 10)
    make = [lambda x: x.t(), lambda x: x[::2, 1::3], lambda x: x[:1].expand(4, 10), lambda x: x[:, 2:3]]
    source = Holding(**{f"b{k}": one(base) for k, one in enumerate(make)}, p=nn.Parameter(base.clone().t()))
    target = Holding(**{f"b{k}": one(base * 0) for k, one in enumerate(make)}, p=nn.Parameter(base.clone().t() * 0))
    sent(PackedWeights.of(source)).load_into(target)
    assert same(source, target)


def test_buffers_that_are_none_or_change_shape_or_kind():
    source = Holding(a=torch.ones(3), b=None, c=torch.zeros(2, dtype=torch.int64), d=None)
    target = Holding(a=torch.zeros(2), b=torch.ones(4), c=torch.zeros(2), d=None)
    sent(PackedWeights.of(source)).load_into(target)
    assert target.b is None and target.d is None and same(source, target)
    target.a += 1  # it is the target's own
    assert source.a.sum() == 3
    again = Holding(a=torch.zeros(3), b=None, c=torch.zeros(2, dtype=torch.int64), d=torch.ones(1))
    weights = PackedWeights.of(source)
    weights.load_into(again)
    again.a += 1
    weights.load_into(again)
    assert again.a.tolist() == [1, 1, 1] and again.d is None


def test_a_module_without_weights_and_one_whose_parts_share_them():
    nothing = PackedWeights.of(nn.ReLU())
    assert len(nothing.data) == 0
    sent(nothing).load_into(nn.ReLU())
    shared, other = nn.Linear(2, 2), nn.Linear(2, 2)
    source, target = nn.Sequential(shared, shared), nn.Sequential(other, other)
    sent(PackedWeights.of(source)).load_into(target)
    assert same(source, target)


@pytest.mark.parametrize("other", [nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.ReLU()])
def test_weights_of_another_module_are_refused(other):
    with pytest.raises(CompositionError, match="is not built like the one that they are from"):
        PackedWeights.of(nn.Linear(2, 2)).load_into(other)
    with pytest.raises(CompositionError, match="is not built like"):
        PackedWeights.of(nn.Linear(2, 2)).load_into(nn.Linear(2, 2).double())
