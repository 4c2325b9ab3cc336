"""Weights compared between ranks, by digests of their bits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

#: How many weights are named that differ.
_NAMED = 3


def digests(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Return a short text for each weight, which is the same for the same shape and bits, and else almost never."""
    return {name: _digest(one.detach()) for name, one in weights.items()}


def differences(ranks: Sequence[Mapping[str, str]]) -> str:
    """Return a text on the first rank whose digests are not those of rank 0, an empty one if there is none."""
    for rank, found in enumerate(ranks):
        names = [name for name in {**ranks[0], **found} if found.get(name) != ranks[0].get(name)]
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            return f"rank {rank} does not hold the weights of rank 0: {', '.join(names[:_NAMED])}{more} differ"
    return ""


def _digest(weight: Tensor) -> str:
    content = weight.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    return f"{list(weight.shape)} {hashlib.blake2b(content, digest_size=8).hexdigest()}"
