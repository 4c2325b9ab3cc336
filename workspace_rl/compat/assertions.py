"""BBRL's names of arguments, and its `AssertionError`s: under its names, this library's errors are that, too."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

from workspace_rl.errors import WorkspaceRLError

#: BBRL's names of arguments, and this library's.
RENAMED = {"var_name": "name", "v": "value", "from_t": "start", "to_t": "stop", "batch_indexes": "indices"}

Function = TypeVar("Function", bound=Callable[..., object])
Class = TypeVar("Class", bound=type)


def asserting(function: Function, renamed: Mapping[str, str] = MappingProxyType({})) -> Function:
    """Return `function` with errors that are `AssertionError`s as well, and with other names of arguments."""

    @functools.wraps(function)
    def wrapper(*args: object, **kwargs: object) -> object:
        if not renamed.keys().isdisjoint(kwargs):
            kwargs = {renamed.get(name, name): value for name, value in kwargs.items()}
        try:
            return function(*args, **kwargs)
        except WorkspaceRLError as error:
            error.__class__ = _asserted(type(error))  # type: ignore[arg-type]
            raise

    return wrapper  # type: ignore[return-value]


def asserting_methods(found: Class) -> Class:
    """Let all public methods of a class be `asserting` and take BBRL's names, inherited ones as well."""
    for name, method in inspect.getmembers_static(found, inspect.isfunction):
        if not name.startswith("_"):
            setattr(found, name, asserting(method, RENAMED))
    return found


@functools.cache
def _asserted(kind: type[WorkspaceRLError]) -> type[WorkspaceRLError]:
    return kind if issubclass(kind, AssertionError) else type(kind.__name__, (kind, AssertionError), {})
