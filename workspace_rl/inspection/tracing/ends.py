"""Updates tried on batches in which episodes end: whether pairs of frames that only carry a reset are learned from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from workspace_rl.inspection.copies.harmless import harmless
from workspace_rl.inspection.copies.twins import Twins
from workspace_rl.inspection.tracing.layouts import Layout, Layouts
from workspace_rl.workspace import Workspace

#: Bytes of a batch beyond which it is not tried.
MOST = 2**25
#: Relative to the largest gradient, what is more than rounding.
CLOSE = 1e-5
#: What the reward of a reset is changed by: environments give none there.
CHANGE = 3.0

Gradients = dict[str, list[Tensor]]


def learns_from_resets(target: Any, frames: Layouts, flags: Mapping[str, Any]) -> list[str]:
    """Return the names of the optimisers whose gradients depend on the reward that stands where episodes begin.

    With auto-reset, the pair of an episode's last frame and the first one of the next is no transition. Copies of
    `target` learn twice, from frames that differ in nothing but the reward at such first frames.

    Args:
        target: an algorithm, or a function of a batch.
        frames: what is stored, `[T, B, ...]`; of two frames, the first is never the last one of an episode.
        flags: given to the update.
    """
    size = sum(math.prod(one.shape) * one.dtype.itemsize for one in frames.values())
    steps = max((one.shape[0] for one in frames.values()), default=0)
    rewards = [name for name in frames if name.rpartition("/")[2] == "reward"]
    if steps < 3 or size > MOST or not rewards:
        return []
    try:
        usual, changed = (_gradients(target, frames, flags, change) for change in (0.0, CHANGE))
    except Exception:  # whatever it needs is not there
        return []
    return [name for name in usual if not _alike(usual[name], changed.get(name, []))]


def _gradients(target: Any, frames: Layouts, flags: Mapping[str, Any], change: float) -> Gradients:
    """Return the gradients that a copy of `target` gives its optimisers, by their names."""
    twins, found = Twins(fake=False, seed=1), Gradients()
    with harmless():
        try:
            twin = twins.of(target)
            for name, optimizer in twins.found(torch.optim.Optimizer).values():
                optimizer.__dict__["step"] = _noting(optimizer, found.setdefault(name, []))
                optimizer.__dict__.pop("graph_step", None)
            workspace = _in_which_episodes_end(frames, change)
            if not hasattr(twin, "make_experience"):
                twin(workspace, **flags)
                return found
            experience = twin.make_experience()
            batch = experience.as_batch(workspace) if hasattr(experience, "as_batch") else workspace
            for name, (shape, dtype) in getattr(experience, "added", {}).items():
                batch.set_full(name, torch.ones(batch.time_size(), batch.batch_size(), *shape, dtype=dtype))
            twin.update(batch, **flags)
            return found
        finally:
            twins.put_back()


def _noting(optimizer: torch.optim.Optimizer, found: list[Tensor]) -> Callable[..., None]:
    def step(*args: Any, **kwargs: Any) -> None:
        parameters = [one for group in optimizer.param_groups for one in group["params"]]
        found.extend(one.grad.detach().clone() for one in parameters if one.grad is not None)

    return step


def _in_which_episodes_end(frames: Layouts, change: float) -> Workspace:
    """Return made-up frames; in two thirds of the rows an episode ends, and another one begins."""
    workspace, generator = Workspace(), torch.Generator().manual_seed(0)
    for name, layout in frames.items():
        workspace.set_full(name, _made_up(name.rpartition("/")[2], layout, change, generator))
    return workspace


def _made_up(name: str, layout: Layout, change: float, generator: torch.Generator) -> Tensor:
    steps, rows = layout.shape[:2]
    step, row = torch.arange(steps).unsqueeze(-1), torch.arange(rows)
    last = torch.where(row % 3 > 0, 1 + row % (steps - 2), steps)
    done, reset = step == last, step == last + 1
    values = torch.zeros(layout.shape, dtype=layout.dtype)
    if values.is_floating_point():
        values = torch.randn(layout.shape, generator=generator, dtype=layout.dtype)
    if values.numel() == steps * rows:
        values = values.reshape(steps, rows)
    match name:
        case "reward":
            values = torch.where(reset, change, values)
        case "done":
            values = done
        case "terminated" | "truncated":
            values = done & ((row % 2 == 0) == (name == "terminated"))
        case "timestep":
            values = torch.where(step > last, step - last - 1, step + 5)
        case "weight":
            values = (~done).to(layout.dtype)
        case "action" if values.is_floating_point():
            values = values.tanh()
    return values.to(layout.device, layout.dtype).reshape(layout.shape)


def _alike(one: list[Tensor], other: list[Tensor]) -> bool:
    if len(one) != len(other):
        return False
    scale = max((float(each.abs().max()) for each in one if each.numel()), default=0.0)
    return all(bool(((a - b).abs() <= CLOSE * scale).all()) for a, b in zip(one, other, strict=True))
