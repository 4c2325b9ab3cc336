"""A layer of long short-term memory over all of time: one operator for the way there, one for the way back.

For why there are such operators see `gru_loop`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workspace_rl.agents.memory.products import add_product, full_product, states_before
from workspace_rl.agents.networks import not_autocast


@torch.library.custom_op("workspace_rl::lstm", mutates_args=())
def run_lstm(
    of_inputs: Tensor, begins: Tensor, hidden: Tensor, cell: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the state after each step, hidden and cell, `[T, B, size]`.

    Args:
        of_inputs: the product of the inputs, `[T, B, 4 * size]`.
        begins: `[T, B]`, whether the state before a step is zeros.
        hidden: the state before the first step, `[B, size]`.
        cell: the same of the cells.
        weight: of the product of the state, `[4 * size, size]`.
        bias: `[4 * size]`.
    """
    size, zero = hidden.shape[-1], of_inputs.new_zeros(())
    results: tuple[Tensor, Tensor] = run_lstm_like(of_inputs, begins, hidden, cell, weight, bias)
    products, shape = torch.empty_like(of_inputs[0]), torch.empty_like(hidden)
    before, cell_before = torch.empty_like(hidden), torch.empty_like(cell)
    gates, (shown, taken, kept, new) = products[:, : 3 * size], products.split(size, -1)
    over_time = (of_inputs + bias.to(of_inputs.dtype), begins.unsqueeze(-1), *results)
    weight = weight.t()
    with not_autocast(of_inputs):
        for inputs, begin, after, cell_after in zip(*(one.unbind(0) for one in over_time), strict=True):
            torch.where(begin, zero, hidden, out=before)
            torch.where(begin, zero, cell, out=cell_before)
            add_product(inputs, before, weight, out=products)
            gates.sigmoid_()
            new.tanh_()
            cell = torch.mul(kept, cell_before, out=cell_after).addcmul_(taken, new)
            hidden = torch.mul(shown, torch.tanh(cell, out=shape), out=after)
    return results


@run_lstm.register_fake
def run_lstm_like(
    of_inputs: Tensor, begins: Tensor, hidden: Tensor, cell: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Return empty tensors for what `run_lstm` returns."""
    shape = (*of_inputs.shape[:2], hidden.shape[-1])
    return of_inputs.new_empty(shape), of_inputs.new_empty(shape)


@torch.library.custom_op("workspace_rl::lstm_backward", mutates_args=())
def run_back(
    d_after: Tensor, d_cells: Tensor, begins: Tensor, factors: Tensor, by_cell: Tensor, kept: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the products of the state, and of the first hidden and cell.

    Args:
        d_after: `[T, B, size]`, gradients of the states after each step, but for what comes from later steps.
        d_cells: the same of the cells, but for what comes from the state.
        begins: `[T, B]`.
        factors: `[T, B, 4 * size]`, the derivatives of each state by its first product, and of each cell by the others.
        by_cell: `[T, B, size]`, the derivatives of each state by its cell.
        kept: `[T, B, size]`, the derivatives of each cell by the one before it.
        weight: `[4 * size, size]`.
    """
    results: tuple[Tensor, Tensor, Tensor] = run_back_like(d_after, d_cells, begins, factors, by_cell, kept, weight)
    d_products, d_first, d_first_cell = results
    d_first.zero_()
    d_first_cell.zero_()
    d_state, d_cell, zero = torch.empty_like(d_first), torch.empty_like(d_first), d_first.new_zeros(())
    by_product = (*d_after.shape[:2], 4, d_after.shape[2])
    goes_on = begins.logical_not().unsqueeze(-1).to(d_after.dtype)
    own = [part for one in (factors, d_products) for part in one.view(by_product).split([1, 3], 2)]
    over_time = (d_after, d_cells, goes_on, by_cell, kept, d_products, *own)
    steps = [*zip(*(one.unbind(0) for one in over_time), strict=True)]
    d_state_of_one, d_cell_of_three = d_state.unsqueeze(1), d_cell.unsqueeze(1)
    with not_autocast(d_after):
        for d_own, d_own_cell, goes, through, keeps, d_product, of_shown, of_cell, d_shown, d_parts in reversed(steps):
            torch.add(d_own, d_first, out=d_state)
            torch.addcmul(d_first_cell.add_(d_own_cell), d_state, through, out=d_cell)
            torch.mul(d_state_of_one, of_shown, out=d_shown)
            torch.mul(d_cell_of_three, of_cell, out=d_parts)
            add_product(zero, d_product, weight, out=d_first).mul_(goes)
            torch.mul(d_cell, keeps, out=d_first_cell).mul_(goes)
    return results


@run_back.register_fake
def run_back_like(
    d_after: Tensor, d_cells: Tensor, begins: Tensor, factors: Tensor, by_cell: Tensor, kept: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return empty tensors for what `run_back` returns."""
    first = d_after.shape[1:]
    return d_after.new_empty(factors.shape), d_after.new_empty(first), d_after.new_empty(first)


def gradients(ctx: Any, d_after: Tensor, d_cells: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients of what `run_lstm` was given."""
    of_inputs, begins, hidden, cell, weight, bias, after, cell_after = ctx.saved_tensors
    size = hidden.shape[-1]
    before, cell_before = states_before(hidden, after, begins), states_before(cell, cell_after, begins)
    products = of_inputs + full_product(before, weight, bias)
    shown, taken, kept = torch.sigmoid(products[..., : 3 * size]).chunk(3, -1)
    new, shape = torch.tanh(products[..., 3 * size :]), torch.tanh(cell_after)
    factors = torch.cat(
        (
            shape * shown * (1 - shown),
            new * taken * (1 - taken),
            cell_before * kept * (1 - kept),
            taken * (1 - new.square()),
        ),
        -1,
    )
    by_cell = shown * (1 - shape.square())
    d_products, d_first, d_first_cell = run_back(
        d_after.contiguous(), d_cells.contiguous(), begins, factors, by_cell, kept.contiguous(), weight
    )
    flat = d_products.flatten(0, 1)
    d_weight = flat.t() @ before.flatten(0, 1)
    return d_products, None, d_first, d_first_cell, d_weight.to(weight.dtype), flat.sum(0).to(bias.dtype)


def keep(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    """Keep what `gradients` needs."""
    ctx.save_for_backward(*inputs, *output)


run_lstm.register_autograd(gradients, setup_context=keep)
