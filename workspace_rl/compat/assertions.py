"""BBRL reports mistakes by `AssertionError`; under its names, this library's errors are that, too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

from workspace_rl.errors import WorkspaceRLError

Function = TypeVar("Function", bound=Callable[..., object])


def asserting(function: Function) -> Function:
    """Return `function` with its errors turned into ones that are `AssertionError`s as well."""

    @functools.wraps(function)
    def wrapper(*args: object, **kwargs: object) -> object:
        try:
            return function(*args, **kwargs)
        except WorkspaceRLError as error:
            error.__class__ = _asserted(type(error))  # type: ignore[arg-type]
            raise

    return wrapper  # type: ignore[return-value]


@functools.cache
def _asserted(kind: type[WorkspaceRLError]) -> type[WorkspaceRLError]:
    return kind if issubclass(kind, AssertionError) else type(kind.__name__, (kind, AssertionError), {})
