"""The names by which a program's functions and classes find what they use: globals, closures, defaults, attributes."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

#: Packages whose functions and classes use nothing of a program that they are not given.
FOREIGN = {
    "torch", "workspace_rl", "numpy", "gymnasium", "scipy", "pandas", "matplotlib", "omegaconf", "hydra", "tqdm",
    "tensorboard", "IPython", "ipykernel", "pytest", "_pytest", "mujoco", "pybullet", "ale_py", "moviepy", "ray",
    "yaml",
    *sys.stdlib_module_names,
}  # fmt: skip


def is_foreign(module: str | None) -> bool:
    """Return whether a module, by its name, is none of the program's."""
    return (module or "").partition(".")[0] in FOREIGN


class Names:
    """Lets names stand for copies, and puts back what they stood for.

    Whatever the program gives these names meanwhile, a counter for instance, is forgotten with it.
    """

    def __init__(self, copied: Callable[[Any], Any]) -> None:
        """Take copies from `copied`."""
        self._copied = copied
        self._seen: set[int] = set()
        self._undo: list[Callable[[], None]] = []
        #: By name, what functions use.
        self.holders: list[dict[str, Any]] = []

    def put_back(self) -> None:
        """Let all names stand for what they stood for, last ones first."""
        while self._undo:
            self._undo.pop()()

    def of_function(self, function: types.FunctionType) -> None:
        """Let what a function uses stand for copies."""
        if is_foreign(function.__module__) and is_foreign(function.__globals__.get("__name__")):
            return
        used = _names(function.__code__)
        held = self._of_namespace(function.__globals__, used)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # an empty cell
                held[name] = self._of_cell(cell)
        defaults, by_name = function.__defaults__, function.__kwdefaults__
        for value in [*held.values(), *(defaults or ()), *(by_name or {}).values()]:
            if isinstance(value, types.ModuleType) and not is_foreign(value.__name__):
                self._of_module(value, used)
        self._undo.append(lambda: _set_defaults(function, defaults, by_name))
        _set_defaults(function, self._copied(defaults), self._copied(by_name))
        attributes = dict(vars(function))
        if attributes:
            self._undo.append(lambda: _restore(vars(function), attributes))
            vars(function).update(self._copied(attributes))
        self.holders.append(held)

    def of_class(self, kind: type) -> None:
        """Let what a class's methods use, and its attributes, stand for copies."""
        for one in kind.__mro__:
            if is_foreign(one.__module__) or id(one) in self._seen:
                continue
            self._seen.add(id(one))
            before = dict(vars(one))
            self._undo.append(lambda one=one, before=before: _restore_class(one, before))  # type: ignore[misc]
            for name, value in before.items():
                for function in _functions(value):
                    self._copied(function)
                if name.startswith(("__", "_abc_")) or hasattr(type(value), "__get__"):
                    continue
                twin = self._copied(value)
                if twin is not value:
                    with contextlib.suppress(AttributeError, TypeError):
                        setattr(one, name, twin)

    def _of_namespace(self, namespace: dict[str, Any], used: set[str]) -> dict[str, Any]:
        """Let the names of a module that are used stand for copies, and return these."""
        if id(namespace) not in self._seen:
            self._seen.add(id(namespace))
            before = dict(namespace)
            self._undo.append(lambda: _restore(namespace, before))
        held: dict[str, Any] = {}
        for name in used & namespace.keys():
            value = namespace[name]
            if isinstance(value, types.ModuleType):
                if not is_foreign(value.__name__) and vars(value) is not namespace:
                    self._of_module(value, used)
                continue
            held[name] = twin = self._copied(value)
            if twin is not value:
                namespace[name] = twin
        return held

    def _of_module(self, module: types.ModuleType, used: set[str]) -> None:
        key = (id(module), frozenset(used))
        if hash(key) not in self._seen:
            self._seen.add(hash(key))
            self.holders.append(self._of_namespace(vars(module), used))

    def _of_cell(self, cell: types.CellType) -> Any:
        value = cell.cell_contents
        if id(cell) in self._seen:
            return value
        self._seen.add(id(cell))
        self._undo.append(lambda: setattr(cell, "cell_contents", value))
        twin = self._copied(value)
        cell.cell_contents = twin
        return twin


def _functions(value: Any) -> Iterator[types.FunctionType]:
    """Yield the functions behind what stands in a class."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    candidates = (value.fget, value.fset, value.fdel) if isinstance(value, property) else (value,)
    for one in (*candidates, getattr(value, "func", None)):
        if isinstance(one, types.FunctionType):
            yield one


def _names(code: types.CodeType) -> set[str]:
    inner = [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return set(code.co_names).union(*(_names(one) for one in inner))


def _set_defaults(function: types.FunctionType, defaults: Any, by_name: Any) -> None:
    function.__defaults__, function.__kwdefaults__ = defaults, by_name


def _restore(namespace: dict[str, Any], before: dict[str, Any]) -> None:
    for name in [one for one in namespace if one not in before]:
        if not isinstance(namespace[name], types.ModuleType):  # an import stays one
            del namespace[name]
    for name, value in before.items():
        if namespace.get(name) is not value or name not in namespace:
            namespace[name] = value


def _restore_class(kind: type, before: dict[str, Any]) -> None:
    for name in [one for one in vars(kind) if one not in before]:
        delattr(kind, name)
    for name, value in before.items():
        if vars(kind).get(name) is not value:
            with contextlib.suppress(AttributeError, TypeError):
                setattr(kind, name, value)
