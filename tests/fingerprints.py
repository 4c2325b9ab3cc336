"""All that an object holds, as plain values that can be compared: to see that something has left it as it was."""

from __future__ import annotations

import functools
import random
import types
import weakref
from typing import Any

import numpy as np
import torch

PLAIN = (type(None), bool, int, float, complex, str, bytes, range, torch.dtype, torch.device, np.dtype)


def fingerprint(*roots: Any) -> dict[str, Any]:
    """Return everything that can be reached from `roots`, by where it was found, and the global random generators."""
    found: dict[str, Any] = {}
    seen: dict[int, Any] = {}
    for index, root in enumerate(roots):
        _walk(f"{index}", root, found, seen)
    found["random"] = random.getstate()
    found["numpy"] = repr(np.random.get_state())
    found["torch"] = torch.get_rng_state().tolist()
    found["settings"] = (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.distributions.Distribution._validate_args,
    )
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return where two fingerprints differ. Stacks that a workspace has made meanwhile are no difference."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return [f"{name}: {before.get(name)} -> {after.get(name)}"[:300] for name in names]


def _walk(path: str, value: Any, found: dict[str, Any], seen: dict[int, Any]) -> None:
    if isinstance(value, PLAIN):
        found[path] = value
        return
    if id(value) in seen:
        found[path] = "seen"
        return
    seen[id(value)] = value
    found[path] = type(value).__name__
    if isinstance(value, torch.Tensor):
        found[path] = (
            type(value).__name__, tuple(value.shape), value.dtype, value.requires_grad, value._version, value.is_leaf,
            repr(value.detach().tolist()) if type(value).__name__ != "FakeTensor" else "fake",  # NaN as NaN
            value._backward_hooks,
        )  # fmt: skip
        if value.is_leaf:
            _walk(f"{path}.grad", value.grad, found, seen)
    elif isinstance(value, np.ndarray):
        found[path] = value.tolist()
    elif isinstance(value, torch.Generator):
        found[path] = value.get_state().tolist()
    elif isinstance(value, np.random.Generator):
        found[path] = repr(value.bit_generator.state)
    elif isinstance(value, random.Random):
        found[path] = value.getstate()
    else:
        _walk_parts(path, value, found, seen)


def _walk_parts(path: str, value: Any, found: dict[str, Any], seen: dict[int, Any]) -> None:
    if isinstance(value, dict):
        for index, (key, one) in enumerate(list(value.items())):
            name = key if isinstance(key, PLAIN) else f"#{index}"
            _walk(f"{path}[{name}]", one, found, seen)
    elif isinstance(value, list | tuple | set | frozenset) or type(value).__name__ == "deque":
        for index, one in enumerate(list(value)):
            _walk(f"{path}[{index}]", one, found, seen)
    if isinstance(value, types.FunctionType):
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            _walk(f"{path}.{name}", cell.cell_contents, found, seen)
        _walk(f"{path}.defaults", value.__defaults__, found, seen)
    elif isinstance(value, types.MethodType):
        _walk(f"{path}.self", value.__self__, found, seen)
    elif isinstance(value, functools.partial):
        _walk(f"{path}.args", (value.func, value.args, value.keywords), found, seen)
    if isinstance(value, type | types.ModuleType | weakref.ref):
        return
    for name, one in list(getattr(value, "__dict__", {}).items()):
        _walk(f"{path}.{name}", one, found, seen)
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if hasattr(value, name) and name not in ("__weakref__", "__dict__"):
                _walk(f"{path}.{name}", getattr(value, name), found, seen)
