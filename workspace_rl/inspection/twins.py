"""Copies of agents that can be run without consequences: on fake tensors, and with environments that stand still."""

from __future__ import annotations

import contextlib
import copy
import types
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import VectorEnv
from torch import nn

from workspace_rl.agent import is_agent
from workspace_rl.composition import PrintAgent
from workspace_rl.inspection.environments import stand_in
from workspace_rl.inspection.recording import UntraceableError


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


class Twins:
    """Copies what is to be traced; what the copies share with each other, they share as the originals do."""

    def __init__(self, fake: bool) -> None:
        """Copy to fake tensors, which have shapes and no values, or to real ones."""
        from torch._subclasses.fake_tensor import FakeTensorMode

        # Agents may hold tensors where no copy reaches, in closures for instance.
        self.mode = FakeTensorMode(allow_non_fake_inputs=True) if fake else None
        self._memo: dict[int, Any] = {}

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
        twin = object.__new__(type(owner))
        self._memo[id(owner)] = twin
        for name, value in vars(owner).items():
            try:
                twin.__dict__[name] = self.of(value)
            except UntraceableError:
                if _learns(value):
                    raise
                twin.__dict__[name] = value
        return twin

    def of_callable(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that uses copies of the agents and optimisers among its globals and its closure."""
        owner = getattr(function, "__self__", None)
        if owner is not None and isinstance(function, types.MethodType):
            return types.MethodType(function.__func__, self.of_owner(owner))
        if not isinstance(function, types.FunctionType):
            raise UntraceableError("it is no Python function")
        used = {name: function.__globals__[name] for name in _names(function.__code__) & function.__globals__.keys()}
        replaced = {name: self.of(value) for name, value in used.items() if _learns(value)}
        for value in used.values():  # functions beside it use the same ones
            if isinstance(value, types.FunctionType) and value.__module__ == function.__module__ is not None:
                inner = _names(value.__code__) & value.__globals__.keys()
                replaced |= {one: self.of(value.__globals__[one]) for one in inner if _learns(value.__globals__[one])}
        namespace = {**function.__globals__, **replaced}
        for name, value in used.items():
            if isinstance(value, types.FunctionType) and value.__globals__ is function.__globals__:
                namespace[name] = _rebuilt(value, namespace, value.__closure__)
        cells = tuple(
            types.CellType(self.of(cell.cell_contents)) if _learns(cell.cell_contents) else cell
            for cell in function.__closure__ or ()
        )
        rebuilt: Callable[..., Any] = _rebuilt(function, namespace, cells or None)
        return rebuilt

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


def _learns(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_learns(one) for one in value)
    if isinstance(value, dict):
        return any(_learns(one) for one in value.values())
    return is_agent(value) or isinstance(value, nn.Module | torch.optim.Optimizer | nn.Parameter)


def _names(code: types.CodeType) -> set[str]:
    inner = [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return set(code.co_names).union(*(_names(one) for one in inner))


def _rebuilt(function: Any, namespace: dict[str, Any], cells: Any) -> Any:
    twin = types.FunctionType(function.__code__, namespace, function.__name__, function.__defaults__, cells)
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin
