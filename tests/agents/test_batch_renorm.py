"""Batch renormalisation, by hand."""

import copy

import pytest
import torch

from workspace_rl.agents import BatchRenorm, build_network


def column(*numbers):
    return torch.tensor(numbers, requires_grad=True).unsqueeze(-1)


def test_four_batches_by_hand():
    layer = BatchRenorm(1, momentum=0.5, epsilon=0.0, warm_up=1)
    # While it warms up, a batch is normalised by itself: mean 1 and variance 2, mean 3 and variance 8.
    for numbers, mean, var in (((0.0, 2.0), 0.5, 1.5), ((1.0, 5.0), 1.75, 4.75)):
        normal = layer(column(*numbers)).flatten().tolist()
        assert normal == pytest.approx([-(0.5**0.5), 0.5**0.5])
        assert (layer.mean.item(), layer.var.item()) == pytest.approx((mean, var))
    # Then by what it has seen before, 1.75 and 4.75, as in evaluation mode.
    twin = copy.deepcopy(layer).eval()
    numbers = column(2.0, 6.0)  # mean 4, variance 8
    assert layer(numbers).flatten().tolist() == pytest.approx([0.25 / 4.75**0.5, 4.25 / 4.75**0.5])
    torch.testing.assert_close(twin(numbers).flatten().tolist(), [0.25 / 4.75**0.5, 4.25 / 4.75**0.5])
    assert (layer.mean.item(), layer.var.item(), int(layer.n_batches)) == pytest.approx((2.875, 6.375, 3))
    assert (twin.mean.item(), twin.var.item(), int(twin.n_batches)) == pytest.approx((1.75, 4.75, 2))
    # Where a batch is far from that, r = 3 and d = 5 are as far as it goes: 3 (x - 200) / sqrt(20000) + 5.
    assert layer(column(100.0, 300.0)).flatten().tolist() == pytest.approx([5 - 3 * 0.5**0.5, 5 + 3 * 0.5**0.5])


def test_gradients_flow_through_a_batchs_statistics_but_not_through_the_corrections(monkeypatch):
    torch.manual_seed(0)
    layer = BatchRenorm(3, warm_up=0).double()
    rows = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    layer(2 * rows.detach() + 1)
    before = copy.deepcopy(layer)
    (gradient,) = torch.autograd.grad(layer(rows)[:, 0].square().sum(), rows)
    mean, var = rows.detach().mean(0), rows.detach().var(0)
    r, d = before._corrections(mean, var)
    assert (r != 1).all() and (d != 0).all()
    shifted = (rows - rows.mean(0) + d * rows.var(0).sqrt() / r) / (rows.var(0) / r**2 + before.epsilon).sqrt()
    (expected,) = torch.autograd.grad(shifted[:, 0].square().sum(), rows)
    torch.testing.assert_close(gradient, expected)


def test_rows_that_are_all_the_same_have_gradients():
    layer = BatchRenorm(1, warm_up=0)
    for _ in range(2):
        rows = torch.full((4, 1), 3.0, requires_grad=True)
        normal = layer(rows)
        (gradient,) = torch.autograd.grad(normal.sum(), rows)
        assert normal.isfinite().all() and gradient.isfinite().all()


def test_all_steps_are_one_batch():
    torch.manual_seed(0)
    layer = build_network(3, [4], 2, block="batch_renorm")
    twin = copy.deepcopy(layer)
    rows = torch.randn(2, 5, 3)
    torch.testing.assert_close(layer(rows).flatten(0, 1), twin(rows.flatten(0, 1)))
    assert torch.equal(layer[0].mean, twin[0].mean) and int(layer[0].n_batches) == 1
    assert [type(one).__name__ for one in layer] == ["BatchRenorm", "Linear", "ReLU", "BatchRenorm", "OutputLayer"]


def test_products_of_16_bits_are_normalised_in_32():
    layer = build_network(3, [4], 2, block="batch_renorm")
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(6, 3))
    assert layer[3].mean.dtype == torch.float32 and layer[3].mean.abs().sum() > 0
