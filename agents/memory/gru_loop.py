"""A layer of gated recurrent units over all of time: one operator for the way there, one for the way back.

A compiler writes out the steps of a loop one after the other: compiling a memory over 64 steps then takes minutes.
Here the loop is hidden from it, and has in it only what depends on the step before. The rest is done for all steps at
once, in few large operations, which are compiled: products of the inputs, derivatives, gradients of weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workspace_rl.agents.memory.products import add_product, full_product, states_before
from workspace_rl.agents.networks import not_autocast


@torch.library.custom_op("workspace_rl::gru", mutates_args=())
def run_gru(of_inputs: Tensor, begins: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the state after each step, `[T, B, size]`.

    Args:
        of_inputs: the product of the inputs, `[T, B, 3 * size]`.
        begins: `[T, B]`, whether the state before a step is zeros.
        hidden: the state before the first step, `[B, size]`.
        weight: of the product of the state, `[3 * size, size]`.
        bias: `[3 * size]`.
    """
    size, zero = hidden.shape[-1], of_inputs.new_zeros(())
    states: Tensor = run_gru_like(of_inputs, begins, hidden, weight, bias)
    product, gates = torch.empty_like(of_inputs[0]), of_inputs.new_empty((len(hidden), 2 * size))
    before, candidate = torch.empty_like(hidden), torch.empty_like(hidden)
    product_of_gates, product_of_new = product.split([2 * size, size], -1)
    seen, kept = gates.split(size, -1)
    over_time = (*of_inputs.split([2 * size, size], -1), begins.unsqueeze(-1), states)
    weight, bias = weight.t(), bias.to(of_inputs.dtype)
    with not_autocast(of_inputs):
        for inputs_of_gates, inputs_of_new, begin, after in zip(*(one.unbind(0) for one in over_time), strict=True):
            torch.where(begin, zero, hidden, out=before)
            add_product(bias, before, weight, out=product)
            torch.add(inputs_of_gates, product_of_gates, out=gates).sigmoid_()
            torch.addcmul(inputs_of_new, seen, product_of_new, out=candidate).tanh_()
            hidden = torch.lerp(candidate, before, kept, out=after)
    return states


@run_gru.register_fake
def run_gru_like(of_inputs: Tensor, begins: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return an empty tensor for what `run_gru` returns."""
    return of_inputs.new_empty((*of_inputs.shape[:2], hidden.shape[-1]))


@torch.library.custom_op("workspace_rl::gru_backward", mutates_args=())
def run_back(
    d_after: Tensor, begins: Tensor, factors: Tensor, kept: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the states after each step, of the products of the state, and of the first state.

    Args:
        d_after: `[T, B, size]`, gradients of the states after each step, but for what comes from later steps.
        begins: `[T, B]`.
        factors: `[T, B, 3 * size]`, the derivatives of each state by the products of the one before it.
        kept: `[T, B, size]`, the derivatives of each state by the one before it, but for those products.
        weight: `[3 * size, size]`.
    """
    results: tuple[Tensor, Tensor, Tensor] = run_back_like(d_after, begins, factors, kept, weight)
    d_states, d_products, d_first = results
    d_first.zero_()
    goes_on = begins.logical_not().unsqueeze(-1).to(d_after.dtype)
    by_product = (*d_after.shape[:2], 3, d_after.shape[2])
    over_time = (d_after, goes_on, factors.view(by_product), kept, d_states, d_states.unsqueeze(2), d_products)
    steps = zip(*(one.unbind(0) for one in (*over_time, d_products.view(by_product))), strict=True)
    with not_autocast(d_after):
        for d_own, goes, factor, keeps, d_state, d_each, d_product, d_parts in reversed([*steps]):
            torch.add(d_own, d_first, out=d_state)
            torch.mul(d_each, factor, out=d_parts)
            torch.mul(d_state, keeps, out=d_first)
            add_product(d_first, d_product, weight, out=d_first).mul_(goes)
    return results


@run_back.register_fake
def run_back_like(
    d_after: Tensor, begins: Tensor, factors: Tensor, kept: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return empty tensors for what `run_back` returns."""
    return d_after.new_empty(d_after.shape), d_after.new_empty(factors.shape), d_after.new_empty(d_after.shape[1:])


def gradients(ctx: Any, d_after: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients of what `run_gru` was given."""
    of_inputs, begins, hidden, weight, bias, after = ctx.saved_tensors
    size = hidden.shape[-1]
    before = states_before(hidden, after, begins)
    product = full_product(before, weight, bias)
    seen, kept = torch.sigmoid(of_inputs[..., : 2 * size] + product[..., : 2 * size]).chunk(2, -1)
    new = product[..., 2 * size :]
    candidate = torch.tanh(of_inputs[..., 2 * size :] + seen * new)
    by_new = (1 - kept) * (1 - candidate.square())
    factors = torch.cat((by_new * new * seen * (1 - seen), (before - candidate) * kept * (1 - kept), by_new * seen), -1)
    d_states, d_products, d_first = run_back(d_after.contiguous(), begins, factors, kept.contiguous(), weight)
    d_inputs = torch.cat((d_products[..., : 2 * size], d_states * by_new), -1)
    flat = d_products.flatten(0, 1)
    d_weight = flat.t() @ before.flatten(0, 1)
    return d_inputs, None, d_first, d_weight.to(weight.dtype), flat.sum(0).to(bias.dtype)


def keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    """Keep what `gradients` needs."""
    ctx.save_for_backward(*inputs, output)


run_gru.register_autograd(gradients, setup_context=keep)
