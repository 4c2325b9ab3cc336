"""`bbrl.utils.functional`."""

from __future__ import annotations

import torch
from torch import Tensor


def gae(
    reward: Tensor, next_critic: Tensor, must_bootstrap: Tensor, critic: Tensor, discount_factor: float, gae_coef: float
) -> Tensor:
    """Return generalised advantage estimates, `[T, ...]`, with one mask for values and traces.

    `workspace_rl.gae` has one for each, which truncated episodes need.
    """
    goes_on = must_bootstrap.int()
    delta = reward + discount_factor * next_critic.detach() * goes_on - critic
    if gae_coef == 0 or not len(delta):
        return delta
    advantages = [delta[-1]]
    # One step after the other, as BBRL does, for the same bits.
    for one, mask in zip(reversed(delta[:-1].unbind()), reversed(goes_on[:-1].unbind()), strict=True):
        advantages.append(one + discount_factor * gae_coef * mask * advantages[-1])
    return torch.stack(advantages[::-1])


def temporal_difference(critic: Tensor, reward: Tensor, must_bootstrap: Tensor, discount_factor: float) -> Tensor:
    """Return the temporal differences `[T, B]` of values and rewards `[T, B]`; `must_bootstrap` has T - 1 rows."""
    return _difference(critic, critic, reward, must_bootstrap, discount_factor)


def doubleqlearning_temporal_difference(
    q: Tensor, action: Tensor, q_target: Tensor, reward: Tensor, must_bootstrap: Tensor, discount_factor: float
) -> Tensor:
    """Return double Q-learning's temporal differences `[T, B]` of action values `[T, B, A]`."""
    value = q.gather(-1, action.unsqueeze(-1)).squeeze(-1)
    next_value = q_target.gather(-1, q.argmax(-1, keepdim=True)).squeeze(-1)
    return _difference(value, next_value, reward, must_bootstrap, discount_factor)


def cumulated_reward(reward: Tensor, done: Tensor) -> float:
    """Return the mean return over the batch of the first episodes in `[T, B]`, all of which must be over."""
    if not done.bool().any(0).all():
        raise AssertionError("computing the cumulated reward of unfinished episodes: no step of one of them is done.")
    before_end = torch.cat((torch.zeros_like(done[:1]), done[:-1])).float().cumsum(0) == 0
    return (reward * before_end).sum(0).mean().item()


def _difference(
    value: Tensor, next_value: Tensor, reward: Tensor, must_bootstrap: Tensor, discount_factor: float
) -> Tensor:
    target = reward[1:] + discount_factor * next_value[1:].detach() * must_bootstrap.float()
    return torch.cat((target - value[:-1], torch.zeros_like(value[:1])))
