"""Arguments of public functions, held against their annotations: a wrong one is told by its name."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import math
import numbers
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig

from workspace_rl.agent import Agent, is_agent
from workspace_rl.basics.plain_data import told
from workspace_rl.errors import ConfigError, WorkspaceRLError

P = ParamSpec("P")
R = TypeVar("R")

#: Items of a list that are looked at.
_MOST_ITEMS = 1000
_NAMES = {
    int: "a whole number", float: "a finite number", bool: "true or false", str: "a text", type(None): "None",
    os.PathLike: "a path",
}  # fmt: skip


def checked(
    *,
    error: type[WorkspaceRLError] = ConfigError,
    least: Mapping[str, float] | None = None,
    unless: Sequence[str] = (),
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that compares the arguments of a function with its annotations at each call.

    Numbers must be finite; those of NumPy and torch, and whole numbers such as 1e6, are handed on as Python's. Lists
    are anything with items. For functions that are called rarely: constructors, and what reads or writes files.

    Args:
        error: what is raised.
        least: for arguments by name, the least that they, or their items, may be.
        unless: arguments that the function itself has more to say of.
    """
    bounds = dict(least or {})

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.cache
        def hints() -> dict[str, Any]:
            found: dict[str, Any] = {}
            for name, annotation in inspect.get_annotations(function).items():
                one = types.SimpleNamespace(__annotations__={name: annotation})
                with contextlib.suppress(NameError):  # a name that is known to type checkers only
                    found |= typing.get_type_hints(one, inspect.unwrap(function).__globals__)
            return found

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError:  # a missing or an unknown argument, which Python tells itself
                return function(*args, **kwargs)
            for name, value in bound.arguments.items():
                hint = hints().get(name, Any)
                if name in unless or signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                    continue
                if signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
                    hint = types.GenericAlias(Sequence, (hint,))
                _check(function.__qualname__, name, value, hint, bounds.get(name, -math.inf), error)
                bound.arguments[name] = _converted(value, hint)
            return function(*bound.args, **bound.kwargs)

        return call

    return decorate


def require(value: object, kind: type | tuple[type, ...], name: str, expected: str) -> None:
    """Raise a `ConfigError` unless `value` is of a kind: the quick way, for what is called at each update."""
    if not isinstance(value, kind):
        raise ConfigError(f"{name}: {expected} expected, {told(value)} found.")


def _check(function: str, name: str, value: Any, hint: Any, least: float, error: type[WorkspaceRLError]) -> None:
    if not _fits(value, hint):
        name, value, hint = _misfit(name, value, hint)
        way_out = f" Write [{value}]." if _is_number(value) and "a list" in _named(hint) else ""
        raise error(f"{_called(function)}: {name}: {_named(hint)} expected, {told(value)} found.{way_out}")
    for one in _numbers_of(value) if least > -math.inf else ():
        if one < least:
            raise error(f"{_called(function)}: {name}: at least {least:g} expected, {told(value)} found.")


def _misfit(name: str, value: Any, hint: Any) -> tuple[str, Any, Any]:
    """Return what does not fit, by name: the argument, or the first of its items that is none, if it is a list."""
    items = typing.get_args(hint)
    if typing.get_origin(hint) not in (Sequence, Iterable, list) or not _is_list(value) or _named(hint) != "a list":
        return name, value, hint
    index, one = next((index, one) for index, one in enumerate(_some(value)) if not _fits(one, items[0]))
    return _misfit(f"{name}[{index}]", one, items[0])


def _called(function: str) -> str:
    return function.removesuffix(".__init__")


def _fits(value: Any, hint: Any) -> bool:
    origin, items = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, one) for one in items)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in items)
    if origin is type:
        return isinstance(value, type) and all(not isinstance(one, type) or issubclass(value, one) for one in items)
    kind = origin or hint
    if kind is None:
        return value is None
    if kind is Any or not isinstance(kind, type):  # type variables and names, too
        return True
    if kind is Agent:
        return is_agent(value)
    if kind is torch.device:
        return isinstance(value, torch.device)
    if kind in (int, float):
        whole = kind is float or isinstance(value, numbers.Integral)
        return _is_number(value) and (whole or float(value).is_integer())
    if kind is bool:
        return isinstance(value, bool | np.bool_)
    if issubclass(kind, os.PathLike):
        return isinstance(value, os.PathLike)
    if kind in (Sequence, Iterable, list, tuple):
        return _is_list(value, kind) and (len(items) != 1 or all(_fits(one, items[0]) for one in _some(value)))
    if kind is Mapping:
        return isinstance(value, Mapping | DictConfig)
    if kind is typing.get_origin(Callable[..., Any]):
        return callable(value)
    return isinstance(value, kind)


def _converted(value: Any, hint: Any) -> Any:
    """Return a number, or a list of numbers, that fits an annotation as Python's own."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    if _is_number(value) and type(value) not in (*options, int):
        return int(value) if int in options else float(value) if float in options else value
    if Sequence[int] in options and _is_list(value):
        numbers_only = all(type(one) is int for one in value)
        return value if isinstance(value, list | tuple) and numbers_only else [int(one) for one in value]
    return value


def _is_number(value: Any) -> bool:
    """Return whether it is one finite number, of Python, NumPy or torch."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.ndim == 0 and "complex" not in str(value.dtype) and math.isfinite(float(value))
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        return False
    return isinstance(value, numbers.Integral) or math.isfinite(value)  # which may be larger than any float


def _is_list(value: Any, kind: Any = Sequence) -> bool:
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.ndim > 0
    if isinstance(value, str | bytes | Mapping):
        return False
    return isinstance(value, Iterable if kind is Iterable else Sequence | ListConfig)


def _some(value: Any) -> list[Any]:
    # The items of a generator can be had once only.
    return list(itertools.islice(iter(value), _MOST_ITEMS)) if hasattr(value, "__len__") else []


def _numbers_of(value: Any) -> list[Any]:
    return [one for one in (_some(value) if _is_list(value) else [value]) if _is_number(one)]


def _named(hint: Any) -> str:
    """Return what a message calls an annotation."""
    origin, items = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(dict.fromkeys(map(_named, items)))
    if origin is Literal:
        return "one of " + ", ".join(map(repr, items))
    if origin is type:
        return f"a class derived from {_named(items[0])}" if items else "a class"
    kind = origin or hint
    if kind is None or kind is type(None):
        return "None"
    if isinstance(kind, type) and issubclass(kind, os.PathLike):
        return "a path"
    if kind in (Sequence, Iterable, list, tuple):
        known = {int: "whole numbers", float: "finite numbers", str: "texts"}
        item = items[0] if len(items) == 1 else Any
        return f"a list of {known[item]}" if item in known else "a list"
    if kind is Mapping or kind is dict:
        return "a dictionary"
    if kind is typing.get_origin(Callable[..., Any]):
        return "a function"
    if kind in _NAMES:
        return _NAMES[kind]
    return getattr(kind, "__name__", str(kind))
