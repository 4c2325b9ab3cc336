"""What takes the place, in a trace, of objects that cannot be copied: environments, files, loggers, and the rest."""

from __future__ import annotations

import io
import logging
import types
from collections.abc import Callable
from typing import Any, NoReturn

import gymnasium as gym

from workspace_rl.inspection.copies.untraceable import UntraceableError


class StillEnvironment:
    """Takes the place of an environment in a copy: it has the same spaces, and is never stepped."""

    def __init__(self, env: Any, copied: Callable[[Any], Any]) -> None:
        """Stand for `env`; what others ask it for is given to them as `copied` returns it."""
        self._env, self._copied = env, copied

    def __getattr__(self, name: str) -> Any:
        """Return the environment's attribute, copied, unless it is a method: methods change environments."""
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self._env, name)
        if isinstance(value, types.MethodType | types.BuiltinMethodType):
            raise UntraceableError("it steps an environment by itself (workspace_rl.GymAgent need not be)")
        twin = self.__dict__[name] = self._copied(value)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> StillEnvironment:
        """Return the same one."""
        return self


class StillWriter:
    """Takes the place of a file, a logger, a progress bar: whatever is said to it is not heard."""

    def __getattr__(self, name: str) -> Any:
        """Return a method that does nothing."""
        if name.startswith("__"):
            raise AttributeError(name)
        return _nothing

    def __enter__(self) -> StillWriter:
        """Return itself."""
        return self

    def __exit__(self, *args: object) -> None:
        """Do nothing."""


class StillObject:
    """Takes the place of anything else that cannot be copied: a program that uses it cannot be traced."""

    def __init__(self, kind: type) -> None:
        """Stand for an object of class `kind`."""
        self.__dict__["_kind"] = kind.__name__

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise UntraceableError(f"it uses an object that cannot be copied ({self.__dict__['_kind']})")

    def __getattr__(self, name: str) -> Any:
        """Refuse, except to those who only ask what it is."""
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse()

    __setattr__ = __call__ = __iter__ = __next__ = __len__ = __getitem__ = __setitem__ = __contains__ = _refuse
    __enter__ = __float__ = __int__ = __index__ = __array__ = __add__ = __radd__ = __mul__ = __rmul__ = _refuse

    def __exit__(self, *args: object) -> None:
        """Do nothing."""

    def __deepcopy__(self, memo: dict[int, Any]) -> StillObject:
        """Return the same one."""
        return self


def stand_in_for(value: Any) -> Any:
    """Return what takes the place of an object that cannot be copied."""
    return StillWriter() if is_writer(value) else StillObject(type(value))


def is_writer(value: Any) -> bool:
    """Return whether an object only takes what is said to it: a file, a logger, a progress bar."""
    if isinstance(value, io.IOBase | logging.Logger | logging.LoggerAdapter | logging.Handler):
        return True
    name = type(value).__name__.lower()
    return name.startswith("tqdm") or name.endswith(("writer", "logger"))


def is_environment_object(value: Any) -> bool:
    """Return whether a value is one of gymnasium's environments, single or vector."""
    return isinstance(value, gym.Env | gym.vector.VectorEnv)


def _nothing(*args: object, **kwargs: object) -> None:
    """Do nothing."""
