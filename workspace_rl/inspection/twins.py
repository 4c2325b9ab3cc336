"""Copies of agents that can be run without consequences: on fake tensors, and with environments that stand still."""

from __future__ import annotations

import contextlib
import copy
import functools
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import VectorEnv
from torch import nn
from torch.overrides import TorchFunctionMode

from workspace_rl.agent import is_agent
from workspace_rl.composition import PrintAgent
from workspace_rl.inspection.environments import stand_in
from workspace_rl.inspection.recording import OutOfReachError, UntraceableError, is_fake

#: Packages whose functions use no agents that they are not given.
FOREIGN = ("torch", "workspace_rl", "numpy", "gymnasium")


class StillEnvironment:
    """Takes the place of an environment in a copy: it has the same spaces, and is never stepped."""

    def __init__(self, env: Any) -> None:
        """Stand for `env`."""
        self._env = env

    def __getattr__(self, name: str) -> Any:
        """Return the environment's attribute, unless it is one of those that change it."""
        if name in ("reset", "step", "step_async", "step_wait", "reset_async", "reset_wait", "render", "call"):
            raise UntraceableError("it steps an environment by itself (workspace_rl.GymAgent need not be)")
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._env, name)

    def __deepcopy__(self, memo: dict[int, Any]) -> StillEnvironment:
        """Return the same one."""
        return self


class Guard(TorchFunctionMode):
    """Refuses, while fake tensors are in use, to change parameters that were not copied."""

    def __torch_function__(
        self, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `function`, unless it changes a real parameter."""
        name = getattr(function, "__name__", "")
        in_place = name in ("__set__", "__setitem__") or (name.endswith("_") and not name.endswith("__"))
        if in_place and any(isinstance(one, nn.Parameter) and not is_fake(one) for one in flat([*args])):
            raise OutOfReachError("it changes parameters that are out of the trace's reach")
        return function(*args, **(kwargs or {}))


class Twins:
    """Copies what is to be traced; what the copies share with each other, they share as the originals do."""

    def __init__(self, fake: bool) -> None:
        """Copy to fake tensors, which have shapes and no values, or to real ones."""
        from torch._subclasses.fake_tensor import FakeTensorMode

        # Agents may hold tensors where no copy reaches, in closures for instance.
        self.mode = FakeTensorMode(allow_non_fake_inputs=True) if fake else None
        self._memo: dict[int, Any] = {}
        self._namespaces: dict[int, dict[str, Any]] = {}
        #: Names of copies, as the functions and objects that use them have them.
        self.holders: list[dict[str, Any]] = []

    def of(self, original: Any) -> Any:
        """Return the copy of an agent, a module, an optimiser, or any other object.

        Raises:
            UntraceableError: it cannot be copied.
        """
        self._keep_environments(original)
        try:
            with self.copying():
                twin = copy.deepcopy(original, self._memo)
        except Exception as error:
            raise UntraceableError(f"it cannot be copied ({type(error).__name__}: {error})") from error
        for module in twin.modules() if isinstance(twin, nn.Module) else ():
            stand_in(module)
            if isinstance(module, PrintAgent):
                _silence(module)
        return twin

    def of_owner(self, owner: Any) -> Any:
        """Return a copy of an object that has agents as attributes; attributes that cannot be copied are shared."""
        try:
            twin = object.__new__(type(owner))
        except TypeError:  # classes that are written in C have their own
            twin = copy.copy(owner)
        self._memo[id(owner)] = twin
        self.holders.append(twin.__dict__)
        for name, value in vars(owner).items():
            try:
                used = _learns(value) or isinstance(value, types.FunctionType)
                twin.__dict__[name] = self._of_used(value) if used else self.of(value)
            except UntraceableError:
                if _learns(value):
                    raise
                twin.__dict__[name] = value
        return twin

    def of_callable(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that uses copies of the agents and optimisers that it reaches.

        It reaches them by its globals and its closure, by objects that hold them, and by functions that do.
        """
        if not isinstance(function, types.MethodType | types.FunctionType):
            raise UntraceableError("it is no Python function")
        twin: Callable[..., Any] = self._of_used(function)
        return twin

    def _of_used(self, value: Any) -> Any:
        """Return the copy of what a program uses, or the value itself if nothing in it can learn."""
        if id(value) in self._memo:
            return self._memo[id(value)]
        if isinstance(value, types.MethodType):
            return types.MethodType(self._of_used(value.__func__), self._of_used(value.__self__))
        if isinstance(value, types.FunctionType):
            return self._of_function(value)
        if isinstance(value, functools.partial):
            arguments = {name: self._of_used(one) for name, one in value.keywords.items()}
            return functools.partial(self._of_used(value.func), *map(self._of_used, value.args), **arguments)
        if not _learns(value):
            return value
        return self.of_owner(value) if _is_owner(value) else self.of(value)

    def _of_function(self, function: types.FunctionType) -> Any:
        if (function.__module__ or "").partition(".")[0] in FOREIGN:
            return function
        known = function.__globals__
        namespace = self._namespaces.setdefault(id(known), {**known})
        cells = tuple(types.CellType() for _ in function.__closure__ or ())
        twin = types.FunctionType(function.__code__, namespace, function.__name__, None, cells or None)
        twin.__module__ = function.__module__
        self._memo[id(function)] = twin
        twin.__defaults__ = tuple(map(self._of_used, function.__defaults__ or ()))
        twin.__kwdefaults__ = {name: self._of_used(one) for name, one in (function.__kwdefaults__ or {}).items()}
        used = _names(function.__code__)
        copied = {name: self._of_used(value) for name, value in known.items() if name in used}
        namespace.update(copied)
        for name, cell, original in zip(function.__code__.co_freevars, cells, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # an empty cell
                cell.cell_contents = copied[name] = self._of_used(original.cell_contents)
        self.holders.append(copied)
        return twin

    def found(self, kind: type) -> dict[int, tuple[str, Any]]:
        """Return the copies of a class, each with the name that the program has for it."""
        copies = [one for one in self._memo.values() if isinstance(one, kind)]
        names = {id(one): name for holder in self.holders for name, value in holder.items() for one in flat(value)}
        return {id(one): (names.get(id(one), kind.__name__), one) for one in copies}

    @contextlib.contextmanager
    def copying(self) -> Iterator[None]:
        """Let copies be fake within the block, if they are to be."""
        if self.mode is None:
            yield
            return
        from torch._subclasses.fake_tensor import FakeCopyMode

        with FakeCopyMode(self.mode):
            yield

    def _keep_environments(self, original: Any) -> None:
        modules = list(original.modules()) if isinstance(original, nn.Module) else []
        for holder in [*modules, original]:
            for value in [holder, *getattr(holder, "__dict__", {}).values()]:
                for one in value if isinstance(value, list | tuple) else [value]:
                    if isinstance(one, gym.Env | VectorEnv):
                        self._memo[id(one)] = StillEnvironment(one)


def _silence(agent: PrintAgent) -> None:
    agent.__dict__["_show"] = lambda name, t: agent.get((name, t))


def flat(value: Any) -> Iterator[Any]:
    """Yield what is in lists, tuples and the values of mappings, however deep."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from flat(one)
    else:
        yield value


def _learns(value: Any, seen: frozenset[int] = frozenset()) -> bool:
    """Return whether a value is, or an object holds, something that a program could change: it has to be copied."""
    for one in flat(value):
        if is_agent(one) or isinstance(one, nn.Module | torch.optim.Optimizer | nn.Parameter):
            return True
        if isinstance(one, types.MethodType):
            one = one.__self__
        if len(seen) < 3 and id(one) not in seen and _is_owner(one):
            if any(_learns(inner, seen | {id(one)}) for inner in list(vars(one).values())):
                return True
    return False


def _is_owner(value: Any) -> bool:
    """Return whether a value is an object of the user's own making."""
    no_owner = nn.Module | torch.optim.Optimizer | torch.Tensor | type | types.ModuleType | types.FunctionType
    return hasattr(value, "__dict__") and not isinstance(value, no_owner | list | tuple | dict)


def _names(code: types.CodeType) -> set[str]:
    inner = [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return set(code.co_names).union(*(_names(one) for one in inner))
