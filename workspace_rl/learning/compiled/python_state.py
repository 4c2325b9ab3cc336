"""Plain Python values that a function can reach: what it counts in them is lost when it becomes a graph."""

from __future__ import annotations

import contextlib
import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

_PLAIN = (bool, int, float, complex, str, bytes)
_CONTAINERS = (list, dict, set, frozenset, tuple)


def plain_values(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the numbers and texts that `function` can reach, and the lengths of containers, by their names.

    That is: those of the object whose method it is, of what it closes over, of the modules in both, and the global
    ones that it names, itself or in a method of the same object that it calls.
    """
    return dict(_reachable(function, set()))


def changed_values(before: Mapping[str, Any], function: Callable[..., Any]) -> list[str]:
    """Return the names of those that differ from what `plain_values` returned, with both values."""
    after = plain_values(function)
    return [
        f"{name} (from {before[name]!r} to {value!r})"
        for name, value in after.items()
        if name in before and before[name] != value and (before[name] == before[name] or value == value)
    ]


def _reachable(function: Any, known: set[int]) -> Iterator[tuple[str, Any]]:
    owner = getattr(function, "__self__", None)
    function = getattr(function, "__func__", function)
    if owner is not None:
        yield from _of_object("self", owner, known)
    if not inspect.isfunction(function) or id(function) in known:
        return
    known.add(id(function))
    closed_over = _closed_over(function)
    for name, value in (_globals(function) | closed_over).items():
        if _is_plain(value):
            yield name, _measure(value)
        elif inspect.isroutine(value):
            # Of other modules' functions, those alone that the program hands over.
            if name in closed_over or getattr(value, "__globals__", None) is function.__globals__:
                yield from _reachable(value, known)
        elif not (inspect.ismodule(value) or inspect.isclass(value)):
            yield from _of_object(name, value, known)
    if owner is not None:
        for name in function.__code__.co_names:
            method = getattr(type(owner), name, None)
            if inspect.isfunction(method):
                yield from _reachable(types.MethodType(method, owner), known)


def _globals(function: types.FunctionType) -> dict[str, Any]:
    scope = function.__globals__
    return {name: scope[name] for name in function.__code__.co_names if name in scope}


def _closed_over(function: types.FunctionType) -> dict[str, Any]:
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # nothing is in it yet
            found[name] = cell.cell_contents
    return found


def _of_object(name: str, owner: Any, known: set[int]) -> Iterator[tuple[str, Any]]:
    if id(owner) in known or isinstance(owner, torch.Tensor | torch.optim.Optimizer):
        return
    known.add(id(owner))
    for key, value in getattr(owner, "__dict__", {}).items():
        if key in ("_parameters", "_buffers", "_modules"):
            continue
        if _is_plain(value):
            yield f"{name}.{key}", _measure(value)
        elif isinstance(value, torch.nn.Module) or inspect.ismethod(value):
            yield from _of_object(f"{name}.{key}", getattr(value, "__self__", value), known)
    if isinstance(owner, torch.nn.Module):
        for key, child in owner.named_children():
            yield from _of_object(f"{name}.{key}", child, known)


def _is_plain(value: Any) -> bool:
    return isinstance(value, (*_PLAIN, *_CONTAINERS))


def _measure(value: Any) -> Any:
    """Return what of a value is compared: of a container its length, and what it is if there is nothing else in it."""
    if isinstance(value, _CONTAINERS):
        return f"{type(value).__name__} of {len(value)}"
    return value
