"""Looking whether frames, and what is done with them, fit a replay buffer, before anything of it is changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from workspace_rl.basics.plain_data import told, whole_number
from workspace_rl.errors import ReplayBufferError, did_you_mean
from workspace_rl.experience.hindsight.hindsight import Hindsight
from workspace_rl.experience.replay_buffer.ring import Ring
from workspace_rl.workspace import Workspace


def checked_frames(
    frames: Workspace, ring: Ring, variables: Iterable[str], done_variable: str, stacked: Mapping[str, int]
) -> dict[str, Tensor]:
    """Return the variables to store of frames that fit the ring, `[T, B, ...]`, with the done variable last.

    Args:
        frames: what is to be put.
        ring: says what the frames that it holds look like.
        variables: what is stored, besides the done variable.
        done_variable: ends episodes.
        stacked: by name how many pictures make up a stack.

    Raises:
        ReplayBufferError: a variable is missing, or looks different from before, or that is no workspace.
    """
    values: dict[str, Tensor] = {}
    if not hasattr(frames, "get_full"):
        raise ReplayBufferError(f"frames: a workspace expected, {told(frames)} found.")
    for name in (*variables, done_variable):
        if name not in frames:
            raise ReplayBufferError(
                f"the frames lack variable {name!r}, which the buffer stores.{did_you_mean(name, frames)}"
            )
        values[name] = frames.get_full(name)
    done = values[done_variable]
    if done.ndim != 2 or done.dtype != torch.bool:
        raise ReplayBufferError(
            f"variable {done_variable!r} must be [T, B] of torch.bool, {list(done.shape)} of {done.dtype} found."
        )
    n_steps, batch_size = done.shape
    if not n_steps or not batch_size:
        raise ReplayBufferError(f"there are no frames to put: {[n_steps, batch_size]} steps and environments.")
    for name, value in values.items():
        stored = ring.storage.get(name)
        stack = (stacked[name],) if name in stacked else ()
        expected = (n_steps, ring.batch_size or batch_size, *stack)
        rest = value.shape[len(expected) :] if stored is None else stored.shape[1:]
        dtype = value.dtype if stored is None else stored.dtype
        if value.shape != (*expected, *rest) or value.dtype != dtype:
            raise ReplayBufferError(
                f"variable {name!r} does not fit the buffer: {[*expected, *rest]} of {dtype} expected, "
                f"{list(value.shape)} of {value.dtype} found."
            )
    return values


def check_hindsight(hindsight: Hindsight | None, variables: Collection[str], stacked: Mapping[str, int]) -> None:
    """Look whether what a buffer stores can be relabelled.

    Raises:
        ReplayBufferError: a variable is missing, or there are stacks.
    """
    if hindsight is None:
        return
    for name in hindsight.variables:
        if name not in variables:
            raise ReplayBufferError(
                f"hindsight needs variable {name!r}, which is not among those that are stored."
                f"{did_you_mean(name, variables)}"
            )
    if stacked:
        raise ReplayBufferError(
            f"hindsight: frames that are stored whole expected, stacks of {', '.join(stacked)} found. Do not name them "
            "in 'stacked'."
        )


def checked_sizes(batch_size: Any, window: Any) -> tuple[int, int]:
    """Return how many windows of how many frames are to be sampled.

    Raises:
        ReplayBufferError: one is no whole number, or too small.
    """
    if type(batch_size) is not int or type(window) is not int:
        batch_size = whole_number(batch_size, "batch_size", least=0, error=ReplayBufferError)
        window = whole_number(window, "window", least=1, error=ReplayBufferError)
    if batch_size < 0 or window < 1:
        raise ReplayBufferError(f"{batch_size} windows of {window} frames cannot be sampled.")
    return batch_size, window
