"""What modules keep in plain attributes while they act, such as the noise of an Ornstein-Uhlenbeck process."""

from __future__ import annotations

import io
import pickle
import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
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
    be pickled is not. Modules, parameters and buffers in a collection stay those that act: no copies take their place.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        """Note how the attributes of `modules`, and of all within them, are now."""
        self._modules = list(dict.fromkeys(part for module in modules for part in module.modules()))
        self._parts = [(part.__dict__, _plain(part.__dict__)) for part in self._modules]
        self._first = self.capture()

    def capture(self) -> bytes:
        """Return what is not, or need not be, as it was at first."""
        found: dict[tuple[int, str], Any] = {}
        for index, (now, first) in enumerate(self._parts):
            for name, value in now.items():
                if name not in _OF_TORCH and (value is not first.get(name, _NOTHING) or isinstance(value, _CHANGEABLE)):
                    found[index, name] = value
        return _pickled(found, self._modules)

    def restore(self, captured: bytes = b"") -> None:
        """Let the attributes be as they were when `capture` returned this; without, as they were at first."""
        for now, first in self._parts:
            for name in _plain(now).keys() - first.keys():
                del now[name]
            now.update(first)
        for values in (self._first, captured):
            for (index, name), value in (_Unpickler(values, self._modules).load() if values else {}).items():
                self._parts[index][0][name] = value


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in _OF_TORCH}


def _pickled(values: dict[tuple[int, str], Any], modules: Sequence[nn.Module]) -> bytes:
    if not values:
        return b""
    places = _places(modules)
    try:
        return _dumped(values, places)
    except Exception:  # whatever objects of the user's own raise
        pass
    kept = {}
    for key, value in values.items():
        try:
            _dumped(value, places)
        except Exception:
            continue
        kept[key] = value
    return _dumped(kept, places)


def _places(modules: Sequence[nn.Module]) -> dict[int, tuple[int, str]]:
    """Return where modules, parameters and buffers stand, by `id`: the number of a module, and a name in it."""
    places = {id(one): (index, "") for index, one in enumerate(modules)}
    for index, module in enumerate(modules):
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                places.setdefault(id(tensor), (index, name))
    return places


def _dumped(value: object, places: Mapping[int, tuple[int, str]]) -> bytes:
    file = io.BytesIO()
    _Pickler(file, places).dump(value)
    return file.getvalue()


class _Pickler(pickle.Pickler):
    """Writes of modules, parameters and buffers where they stand."""

    def __init__(self, file: io.BytesIO, places: Mapping[int, tuple[int, str]]) -> None:
        super().__init__(file)
        self._places = places

    def persistent_id(self, obj: object) -> tuple[int, str] | None:
        return self._places.get(id(obj)) if isinstance(obj, nn.Module | Tensor) else None


class _Unpickler(pickle.Unpickler):
    """Finds modules, parameters and buffers where they stand."""

    def __init__(self, values: bytes, modules: Sequence[nn.Module]) -> None:
        super().__init__(io.BytesIO(values))
        self._modules = modules

    def persistent_load(self, pid: tuple[int, str]) -> object:
        index, name = pid
        return getattr(self._modules[index], name) if name else self._modules[index]
