"""What others have written before a traced program runs: the layouts of variables, taken without reading a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from workspace_rl.errors import CompositionError
from workspace_rl.experience.replay_buffer import ReplayBuffer
from workspace_rl.inspection.tracing.environments import frame, is_environment
from workspace_rl.workspace import Workspace

#: The batch size of replayed values: a number that nothing else is likely to be.
BATCH = 37
#: Steps over which agents are traced: what is done at later ones is done at the second.
STEPS = 2

Inputs = Workspace | ReplayBuffer | Mapping[str, Any] | Any


@dataclass(frozen=True)
class Layout:
    """What a variable looks like as a whole."""

    #: `[T, B, ...]`
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device = torch.device("cpu")


Layouts = Mapping[str, Layout]


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
        return {prefix + name: _of(value.expand(STEPS, *value.shape)) for name, value in frame(inputs).items()}
    if isinstance(inputs, Workspace):
        return {name: Layout(tuple(one.size), one.dtype, one.device) for name, one in inputs.variables.items()}
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
            return _of(value)
        raise CompositionError(f"input {name!r} needs a time and a batch dimension, [T, B, ...]; a scalar was given.")
    if isinstance(value, gym.Space) and value.shape is not None:
        dtype = torch.from_numpy(np.zeros(1, value.dtype)).dtype
        dtype = torch.float32 if dtype == torch.float64 else dtype
        return Layout((STEPS, batch_size, *value.shape), dtype)
    raise CompositionError(f"input {name!r} must be a tensor [T, B, ...] or a gymnasium space, {value!r} was given.")


def _of(value: Tensor) -> Layout:
    return Layout(tuple(value.shape), value.dtype, value.device)
