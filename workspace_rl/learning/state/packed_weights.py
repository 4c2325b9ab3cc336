"""The weights of a module as bytes, for other processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from workspace_rl.errors import CompositionError
from workspace_rl.learning.state.transfer import tensors_of

#: Every tensor begins at a multiple of so many bytes, so that it can be looked at as numbers where it lies.
_ALIGNMENT = 16

#: What a tensor looks like; None where a buffer is None.
Layout = tuple[tuple[tuple[int, ...], torch.dtype] | None, ...]


@dataclass(frozen=True, eq=False)
class PackedWeights:
    """All parameters and buffers of a module, in the order in which they stand: one array, quick to send."""

    #: `[n]` uint8.
    data: np.ndarray
    layout: Layout

    @classmethod
    @torch.no_grad()
    def of(cls, module: nn.Module) -> PackedWeights:
        """Return a copy of the weights of `module`, from whatever device."""
        parameters, places = tensors_of(module)
        tensors = [*parameters, *(buffer for _, _, buffer in places)]
        pieces: list[Tensor] = []
        for one in tensors:
            if one is not None:
                piece = one.detach().contiguous().view(-1).view(torch.uint8)
                pieces.append(piece)
                pieces.append(piece.new_zeros(-len(piece) % _ALIGNMENT))
        data = torch.cat(pieces) if pieces else torch.empty(0, dtype=torch.uint8)
        layout = tuple(None if one is None else (tuple(one.shape), one.dtype) for one in tensors)
        return cls(data.numpy(force=True), layout)

    @torch.no_grad()
    def load_into(self, module: nn.Module) -> None:
        """Copy the weights into `module`, which is built like the one that they are from.

        Raises:
            CompositionError: it is not.
        """
        parameters, places = tensors_of(module)
        values = self._tensors()
        layout = self.layout[: len(parameters)]
        expected = [(tuple(one.shape), one.dtype) for one in parameters]
        if len(values) != len(parameters) + len(places) or list(layout) != expected:
            raise CompositionError(
                f"weights cannot go into {type(module).__name__}, which is not built like the one that they are from: "
                f"{len(parameters)} parameters and {len(places)} buffers expected, tensors of {layout} found."
            )
        for to, value in zip(parameters, values, strict=False):
            to.copy_(value)  # type: ignore[arg-type]
        for (owner, name, buffer), value in zip(places, values[len(parameters) :], strict=True):
            if value is None or buffer is None or not _can_hold(buffer, value):
                device = None if buffer is None else buffer.device
                setattr(owner, name, None if value is None else value.to(device, copy=True))
            else:
                buffer.copy_(value)

    def _tensors(self) -> list[Tensor | None]:
        """Return the tensors; they lie in the memory of `data`, which may be for reading only."""
        data = self.data if self.data.flags.writeable else self.data.copy()
        memory, start = torch.from_numpy(data), 0
        tensors: list[Tensor | None] = []
        for one in self.layout:
            if one is None:
                tensors.append(None)
                continue
            shape, dtype = one
            size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            tensors.append(memory[start : start + size].view(dtype).view(shape))
            start += size + -size % _ALIGNMENT
        return tensors


def _can_hold(buffer: Tensor, value: Tensor) -> bool:
    return buffer.shape == value.shape and buffer.dtype == value.dtype and 0 not in buffer.stride()
