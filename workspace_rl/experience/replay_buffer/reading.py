"""Frames out of a ring, as workspaces."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from workspace_rl.errors import ReplayBufferError
from workspace_rl.experience.replay_buffer.frame_stacks import FrameStacks
from workspace_rl.experience.replay_buffer.ring import Ring
from workspace_rl.workspace import Workspace


def frames_at(
    ring: Ring, stacks: FrameStacks, index: Tensor, size: tuple[int, int], first_only: Collection[str] = ()
) -> Workspace:
    """Return the frames of a ring at `index` (`[T * B]`) as `[T, B, ...]`, with whole stacks.

    Args:
        ring: where they lie.
        stacks: which variables are stacks, and of what.
        index: where in the ring.
        size: T and B.
        first_only: the variables of which the first of the T frames is returned alone, `[1, B, ...]`.
    """
    stacked, batch_size = stacks.sizes, size[1]
    frames = Workspace()
    for name, stored in ring.storage.items():
        if name in first_only:
            value = stored.index_select(0, index[:batch_size]).unsqueeze(0)
        elif name in stacked:
            pictures = stacks.pictures(index, name)
            value = stored.index_select(0, pictures.flatten()).unflatten(0, (*size, -1))
        else:
            value = stored.index_select(0, index).view(*size, *stored.shape[1:])
        frames.set_full(name, value)
    return frames


def layouts(
    ring: Ring, stacks: FrameStacks, batch_size: int, window: int, first_only: Collection[str]
) -> dict[str, Tensor]:
    """Return tensors without values (on the "meta" device) that look like what `frames_at` would return.

    Raises:
        ReplayBufferError: nothing has been put yet.
    """
    if not ring.storage:
        raise ReplayBufferError("the replay buffer is empty: put frames first, so that it knows what they look like.")
    found = {}
    for name, stored in ring.storage.items():
        stack = (stacks.sizes[name],) if name in stacks.sizes else ()
        shape = (1 if name in first_only else window, batch_size, *stack, *stored.shape[1:])
        found[name] = torch.empty(shape, dtype=stored.dtype, device="meta")
    return found
