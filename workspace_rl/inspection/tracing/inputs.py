"""What others have written before a traced program runs: the layouts of variables, taken without reading a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from workspace_rl.errors import CompositionError
from workspace_rl.experience.replay_buffer import ReplayBuffer
from workspace_rl.inspection.copies.environments import frame, is_environment
from workspace_rl.inspection.tracing.layouts import BATCH, STEPS, Layout, Layouts, layout_of, layouts_of
from workspace_rl.workspace import Workspace

Inputs = Workspace | ReplayBuffer | Mapping[str, Any] | Any


def input_layouts(inputs: Inputs) -> Layouts:
    """Return the layouts of the variables that `inputs` stands for. Nothing is sampled, stacked or kept.

    Raises:
        CompositionError: `inputs` cannot be understood.
        ReplayBufferError: the replay buffer is empty.
    """
    if inputs is None:
        return {}
    if isinstance(inputs, ReplayBuffer):
        drawn = inputs.layout(BATCH)
        return {name: Layout(tuple(one.shape), one.dtype, inputs.device) for name, one in drawn.items()}
    if is_environment(inputs):
        prefix = getattr(inputs, "output_prefix", "env/")
        return {prefix + name: layout_of(value.expand(STEPS, *value.shape)) for name, value in frame(inputs).items()}
    if isinstance(inputs, Workspace):
        return layouts_of(inputs)
    if hasattr(inputs, "get_full"):  # BBRL's own workspace
        inputs = {name: inputs.get_full(name) for name in inputs.keys()}
    if not isinstance(inputs, Mapping):
        raise CompositionError(
            "inputs must be a workspace, a replay buffer, an environment agent, or a mapping of names to tensors "
            f"[T, B, ...] or spaces; {type(inputs).__name__} was given."
        )
    sizes = (value.shape[1] for value in inputs.values() if isinstance(value, Tensor) and value.ndim > 1)
    batch_size = next(sizes, BATCH)
    return {name: _layout(name, value, batch_size) for name, value in inputs.items()}


def _layout(name: str, value: Any, batch_size: int) -> Layout:
    if isinstance(value, Tensor):
        if value.ndim:
            return layout_of(value)
        raise CompositionError(f"input {name!r} needs a time and a batch dimension, [T, B, ...]; a scalar was given.")
    if isinstance(value, gym.Space) and value.shape is not None:
        dtype = torch.from_numpy(np.zeros(1, value.dtype)).dtype
        dtype = torch.float32 if dtype == torch.float64 else dtype
        return Layout((STEPS, batch_size, *value.shape), dtype)
    raise CompositionError(f"input {name!r} must be a tensor [T, B, ...] or a gymnasium space, {value!r} was given.")
