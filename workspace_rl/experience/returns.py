"""Targets and advantages over several steps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from workspace_rl.basics.arguments import require
from workspace_rl.errors import VariableMismatchError
from workspace_rl.workspace import Workspace


def n_step_transitions(
    window: Workspace,
    discount_factor: float,
    *,
    reward_variable: str = "env/reward",
    terminated_variable: str = "env/terminated",
    done_variable: str = "env/done",
) -> Workspace:
    """Turn windows of n + 1 frames into transitions over up to n steps, `[2, B, ...]`, which losses read.

    With rewards r_1 .. r_n at the frames 1 .. n, and k the first frame that ends the episode (n where none does):

        reward[1] = r_1 + g r_2 + ... + g^(k-1) r_k
        discount[1] = g^k, or 0 where the episode terminated at frame k

    (Sutton and Barto 2018, equation 7.1). Frame k stands at step 1, so that a loss bootstraps from its observation
    with the weight `discount`: after truncation too, after termination never. For n = 1 this is the transition itself
    with its discount.

    Args:
        window: `[n + 1, B, ...]`, as `ReplayBuffer.sample` returns it; its first pair is a transition.
        discount_factor: g.
        reward_variable: `[B]` float.
        terminated_variable: `[B]` bool.
        done_variable: `[B]` bool, terminated or truncated.

    Returns:
        A workspace with the window's variables and `discount` (`[B]`), in which writing leaves the window as it is.

    Raises:
        ConfigError: an argument is of another kind.
        UnknownVariableError: the window lacks a variable.
        VariableMismatchError: it has fewer than two frames.
    """
    require(window, Workspace, "n_step_transitions: window", "a workspace")
    require(discount_factor, (int, float, np.number), "n_step_transitions: discount_factor", "a number")
    reward = window.get_full(reward_variable)
    terminated = window.get_full(terminated_variable)
    n_steps = reward.shape[0] - 1
    if n_steps < 1:
        raise VariableMismatchError(f"a transition needs two frames, but {reward_variable!r} has {reward.shape[0]}.")
    transitions = Workspace(window)
    if n_steps == 1:
        discount = discount_factor * (~terminated[1]).to(reward.dtype)
    else:
        ended = window.get_full(done_variable)[1:].cumsum(0).bool()
        before_end = torch.cat((torch.ones_like(ended[:1]), ~ended[:-1]))  # the frames 1 .. k
        powers = discount_factor ** torch.arange(n_steps, dtype=reward.dtype, device=reward.device).unsqueeze(1)
        last = before_end.sum(0)
        batch = torch.arange(reward.shape[1], device=reward.device)
        for name in window:
            value = window.get_full(name)
            transitions.set_full(name, torch.stack((value[0], value[last, batch])))
        transitions.set(reward_variable, 1, (powers * before_end * reward[1:]).sum(0))
        discount = discount_factor ** last.to(reward.dtype) * (~terminated[last, batch]).to(reward.dtype)
    transitions.set("discount", 1, discount)
    return transitions


def clip_rewards(window: Workspace, limit: float | None, *, reward_variable: str = "env/reward") -> Workspace:
    """Return `window` with each of its rewards clipped to [-limit, limit]; None for no limit."""
    clipped = Workspace(window)
    if limit is not None:
        clipped.set_full(reward_variable, window.get_full(reward_variable).clamp(-limit, limit))
    return clipped


def gae(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    *,
    bootstrap: Tensor,
    trace: Tensor,
    discount_factor: float,
    gae_lambda: float,
) -> Tensor:
    """Return generalised advantage estimates (Schulman et al. 2016, equation 16).

    With the discount g and the decay l:

        delta_t = r_t + g V(s_t+1) bootstrap_t - V(s_t)
        A_t = delta_t + g l trace_t A_t+1

    The two masks differ where an episode is truncated: the value of its last state counts (`bootstrap` true), but the
    advantages of what comes next, another episode, do not (`trace` false). So `bootstrap` is `~terminated[t+1]` and
    `trace` is `~done[t+1]`. The row of a pair that only carries a reset is to be left out of losses.

    Args:
        reward: r_t, `[T, ...]`, the reward for the action at t.
        value: V(s_t), `[T, ...]`; gradients flow through it.
        next_value: V(s_t+1), `[T, ...]`; no gradient flows through it.
        bootstrap: `[T, ...]` bool, whether a return goes on after the transition.
        trace: `[T, ...]` bool, whether row t+1 belongs to the same episode.
        discount_factor: g.
        gae_lambda: l.

    Returns:
        `[T, ...]`.

    Raises:
        ConfigError: an argument is of another kind.
        VariableMismatchError: the tensors have different numbers of steps.
    """
    tensors = {"reward": reward, "value": value, "next_value": next_value, "bootstrap": bootstrap, "trace": trace}
    for name, one in tensors.items():
        require(one, Tensor, f"gae: {name}", "a tensor")
        if one.shape[:1] != reward.shape[:1]:
            raise VariableMismatchError(
                f"gae: {name}: as many steps as in reward {list(reward.shape)} expected, {list(one.shape)} found."
            )
    for name, number in {"discount_factor": discount_factor, "gae_lambda": gae_lambda}.items():
        require(number, (int, float, np.number), f"gae: {name}", "a number")
    delta = reward + discount_factor * next_value.detach() * bootstrap - value
    if gae_lambda == 0 or not len(delta):
        return delta
    return decayed_sums(delta, discount_factor * gae_lambda * trace.to(delta.dtype))


def decayed_sums(x: Tensor, decay: Tensor) -> Tensor:
    """Return S_t = x_t + decay_t S_t+1 for all t at once, with S_T = 0.

    By doubling (Hillis and Steele 1986): after k rounds each sum reaches over 2^k steps. Compared to a loop over T this
    is a few operations on all of `[T, ...]`, eleven times three for T = 2048, and as few in a compiled graph.

    Args:
        x: `[T, ...]`.
        decay: `[T, ...]`; its last row counts for nothing.

    Returns:
        `[T, ...]`.
    """
    reach = 1
    while reach < len(x):
        # Sums whose reach is beyond the end are complete.
        x = torch.cat((x[:-reach] + decay[:-reach] * x[reach:], x[-reach:]))
        decay = torch.cat((decay[:-reach] * decay[reach:], decay[-reach:]))
        reach *= 2
    return x
