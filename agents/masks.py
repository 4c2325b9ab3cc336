"""Masks: which actions an environment allows, as agents read it from a variable."""

from __future__ import annotations

import torch
from torch import Tensor

from workspace_rl.agent import Agent
from workspace_rl.errors import ActionError, VariableMismatchError


def read_mask(agent: Agent, variable: str, t: int | None, size: int) -> Tensor:
    """Return which actions are allowed: `[B, size]` bool at step `t`, `[T, B, size]` over all time (`t=None`).

    Masks of numbers, as observations hold them, allow what is not 0.

    Raises:
        VariableMismatchError: the variable has another shape.
    """
    mask = agent.get(variable) if t is None else agent.get((variable, t))
    if mask.ndim != (3 if t is None else 2) or mask.shape[-1] != size:
        shape = f"[T, B, {size}]" if t is None else f"[B, {size}]"
        raise VariableMismatchError(
            f"variable {variable!r}{'' if t is None else f' at step {t}'} must say of {size} choices whether they are "
            f"allowed, by booleans of shape {shape} (those of several parts side by side), found {mask.dtype} of shape "
            f"{list(mask.shape)}.",
            variable=variable,
            step=t,
        )
    return mask if mask.dtype is torch.bool else mask != 0


def require_allowed(allowed: Tensor, agent: Agent, variable: str, t: int | None) -> None:
    """Raise where an environment that goes on allows no action, or none of a part's; not in what is compiled.

    Args:
        allowed: `[*L, n]`, or `[*L, *parts, n]`; L are B, or T and B if `t` is None.
        agent: the agent that is to choose.
        variable: where the mask is from.
        t: the step, None for all.

    Raises:
        ActionError: nothing is allowed, and the episode is not over.
    """
    possible = allowed.any(-1)
    # Tensors of a trace, which are of a class of their own, have no values.
    if torch.compiler.is_compiling() or type(possible) is not Tensor or possible.all():
        return
    leading = 2 if t is None else 1
    if possible.ndim > leading:
        possible = possible.flatten(leading).all(-1)
    if "env/done" in agent.running_workspace():  # the action of an episode's last frame is ignored
        possible = possible | agent.get("env/done", t)
    if possible.all():
        return
    *steps, index = (~possible).nonzero()[0].tolist()
    step = steps[0] if steps else t
    of_episode = ""
    if "env/timestep" in agent.running_workspace():
        of_episode = f", at step {int(agent.get(('env/timestep', step))[index])} of its episode"
    raise ActionError(
        f"variable {variable!r} at step {step} allows no action in environment {index}{of_episode}. An environment "
        "whose episode goes on must allow at least one (of each part); end the episode where there is none.",
        variable=variable,
        step=step,
    )


def random_allowed(allowed: Tensor) -> Tensor:
    """Return one of the allowed choices of n, each as likely as the others, `[...]` int64; any where none is.

    Args:
        allowed: `[..., n]` bool.
    """
    return torch.where(allowed, torch.rand(allowed.shape, device=allowed.device), -1.0).argmax(-1)
