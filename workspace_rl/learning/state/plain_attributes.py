"""What modules keep in plain attributes while they act, such as the noise of an Ornstein-Uhlenbeck process."""

from __future__ import annotations

import pickle
import random
from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

#: What may change without being another object.
_CHANGEABLE = (
    Tensor, np.ndarray, list, dict, set, bytearray, deque,
    np.random.Generator, np.random.RandomState, random.Random, torch.Generator,
)  # fmt: skip
#: What belongs to torch.
_OF_TORCH = frozenset(nn.Module().__dict__)
_NOTHING = object()


class PlainAttributes:
    """The plain attributes of modules: how they were at first, and how they are now.

    Parameters and buffers are no part of them. An attribute's value is followed if another one is put in its place,
    and where it is a tensor, an array, a collection or a generator of random numbers also if that changes; what cannot
    be pickled is not.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        """Note how the attributes of `modules`, and of all within them, are now."""
        parts = dict.fromkeys(part for module in modules for part in module.modules())
        self._parts = [(part.__dict__, _plain(part.__dict__)) for part in parts]
        self._first = self.capture()

    def capture(self) -> bytes:
        """Return what is not, or need not be, as it was at first."""
        found: dict[tuple[int, str], Any] = {}
        for index, (now, first) in enumerate(self._parts):
            for name, value in now.items():
                if name not in _OF_TORCH and (value is not first.get(name, _NOTHING) or isinstance(value, _CHANGEABLE)):
                    found[index, name] = value
        return _pickled(found)

    def restore(self, captured: bytes = b"") -> None:
        """Let the attributes be as they were when `capture` returned this; without, as they were at first."""
        for now, first in self._parts:
            for name in _plain(now).keys() - first.keys():
                del now[name]
            now.update(first)
        for values in (self._first, captured):
            for (index, name), value in (pickle.loads(values) if values else {}).items():
                self._parts[index][0][name] = value


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in _OF_TORCH}


def _pickled(values: dict[tuple[int, str], Any]) -> bytes:
    if not values:
        return b""
    try:
        return pickle.dumps(values)
    except Exception:  # whatever objects of the user's own raise
        pass
    kept = {}
    for key, value in values.items():
        try:
            pickle.dumps(value)
        except Exception:
            continue
        kept[key] = value
    return pickle.dumps(kept)
