"""Copies of what a program uses, so that it can be run without consequences, on fake tensors or on real ones."""

from __future__ import annotations

import collections
import contextlib
import copy
import copyreg
import functools
import logging
import random
import threading
import types
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from workspace_rl.agent import is_agent
from workspace_rl.composition import PrintAgent
from workspace_rl.inspection.copies.environments import stand_in
from workspace_rl.inspection.copies.names import Names, is_foreign
from workspace_rl.inspection.copies.nested import flat
from workspace_rl.inspection.copies.stand_ins import (
    StillEnvironment,
    StillObject,
    StillWriter,
    is_environment_object,
    stand_in_for,
)
from workspace_rl.inspection.copies.untraceable import UntraceableError

#: What cannot be changed, and needs no copy. Functions and classes are looked at for what they use.
ATOMS = (
    type(None), bool, int, float, complex, str, bytes, range, slice, type(...), type(NotImplemented),
    types.ModuleType, types.CodeType, weakref.ref, types.MappingProxyType, property, np.dtype, np.ufunc,
    torch.dtype, torch.device, torch.Size, torch.layout, StillEnvironment, StillObject, StillWriter,
)  # fmt: skip
#: What makes a lock like another one.
LOCKS: dict[type, Callable[[], Any]] = {type(make()): make for make in (threading.Lock, threading.RLock)}
#: Tensors of no more elements keep their values in a copy, where they are none of a module's: constants of a program.
SMALL = 4096
#: Bytes of arrays beyond which they are not copied but protected.
LARGE = 2**26


class Twins:
    """Copies what is to be traced; what the copies share with each other, they share as the originals do.

    Objects are copied. The names by which functions and classes find what they use (globals, closures, defaults,
    attributes of classes and modules) stand for the copies until `put_back`, which leaves all of them as they were.
    """

    def __init__(self, fake: bool, shares: bool = False, seed: int | None = None) -> None:
        """Copy to fake tensors, which have shapes and no values, or to real ones.

        What cannot be copied, and environments, are replaced by something that stands still, or shared if `shares`.
        Copies of random generators go on from where the originals are, or begin with `seed`.
        """
        from torch._subclasses.fake_tensor import FakeTensorMode

        # Agents may make tensors where no copy reaches, in code that is written in C for instance.
        self.mode = FakeTensorMode(allow_non_fake_inputs=True) if fake else None
        self.shares, self.seed = shares, seed
        #: The copies of random generators.
        self.generators: list[Any] = []
        self.names = Names(self._copy)
        self._memo: dict[int, Any] = {}
        self._originals: list[Any] = []  # kept, so that no two have the same id
        #: Whether an object with a part that cannot be copied is not copied either.
        self._whole = False
        #: Names of copies, as the objects that use them have them.
        self._holders: list[dict[str, Any]] = []

    def of(self, original: Any) -> Any:
        """Return the copy of an agent, a module, an optimiser, an algorithm, a function, or any other object.

        Raises:
            UntraceableError: it cannot be copied.
        """
        from torch._subclasses.fake_tensor import unset_fake_temporarily

        with unset_fake_temporarily():
            return self._copy(original)

    def put_back(self) -> None:
        """Let all names stand for the originals again."""
        self.names.put_back()

    def found(self, kind: type) -> dict[int, tuple[str, Any]]:
        """Return the copies of a class, each with the name that the program has for it."""
        copies = [one for one in self._memo.values() if isinstance(one, kind)]
        holders = [*self._holders, *self.names.holders]
        names = {id(one): name for holder in holders for name, value in holder.items() for one in flat(value)}
        return {id(one): (names.get(id(one), kind.__name__), one) for one in copies}

    # ---- copying --------------------------------------------------------------------------------------------------

    def _copy(self, value: Any) -> Any:
        if id(value) in self._memo:
            return self._memo[id(value)]
        if isinstance(value, ATOMS) or _is_plain_function(value):
            return value
        if isinstance(value, type):
            self.names.of_class(value)
            return value
        self._originals.append(value)
        twin = self._memo[id(value)] = self._copied(value)
        return twin

    def _copied(self, value: Any) -> Any:
        if isinstance(value, types.FunctionType):
            self._memo[id(value)] = value
            self.names.of_function(value)
            return value
        if isinstance(value, types.MethodType):
            return types.MethodType(self._copy(value.__func__), self._copy(value.__self__))
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return _array(value)
        if isinstance(value, torch.Generator | np.random.Generator | np.random.RandomState | random.Random):
            return self._generator(value)
        if is_environment_object(value):
            return value if self.shares else StillEnvironment(value, _real_copy)
        if type(value) in (list, dict, tuple):
            return self._container(value)
        if type(value) in LOCKS and not self._whole:
            return LOCKS[type(value)]()
        if isinstance(value, types.BuiltinFunctionType):  # of a list, for instance: `self.note = history.append`
            return getattr(self._copy(value.__self__), value.__name__)
        if isinstance(value, functools._lru_cache_wrapper):  # without the cache
            return self._copy(value.__wrapped__)
        if isinstance(value, logging.Logger | logging.LoggerAdapter | logging.Handler):
            return value if self.shares else StillWriter()
        return self._object(value)

    def _generator(self, value: Any) -> Any:
        twin: Any
        if isinstance(value, torch.Generator):
            twin = value.clone_state()
            if self.seed is not None:
                twin.manual_seed(self.seed)
        elif self.seed is None:
            twin = copy.deepcopy(value)
        else:
            twin = (np.random.default_rng if isinstance(value, np.random.Generator) else type(value))(self.seed)
        self.generators.append(twin)
        return twin

    @contextlib.contextmanager
    def _copying(self) -> Iterator[None]:
        """Let tensors that are copied by others within the block become fake, if they are to be."""
        if self.mode is None:
            yield
            return
        from torch._subclasses.fake_tensor import FakeCopyMode

        with FakeCopyMode(self.mode):
            yield

    def _container(self, value: Any) -> Any:
        """Copy a list, a dictionary or a tuple; the first two may hold themselves."""
        if isinstance(value, tuple):
            twins = [self._copy(one) for one in value]
            same = all(one is twin for one, twin in zip(value, twins, strict=True))
            return value if same else tuple(twins)
        twin = self._memo[id(value)] = type(value)()
        if isinstance(value, list):
            twin.extend([self._copy(one) for one in list(value)])
        else:
            for key, one in list(value.items()):
                twin[self._copy(key)] = self._copy(one)
        return twin

    def _tensor(self, value: Tensor, constant: bool = True) -> Tensor:
        if is_lazy(value):  # it has no values yet
            return copy.deepcopy(value, self._memo)
        learns = isinstance(value, nn.Parameter) or value.requires_grad
        if self.mode is None or (constant and not learns and value.numel() <= SMALL):
            with torch._C.DisableTorchFunction():
                twin = value.detach().clone()
                twin = nn.Parameter(twin, value.requires_grad) if isinstance(value, nn.Parameter) else twin
                return twin.requires_grad_(value.requires_grad)
        twin = self.mode.from_tensor(value, static_shapes=True)
        if twin.is_leaf:
            twin.grad = None  # what is left of an earlier step
        return twin

    def _object(self, value: Any) -> Any:
        """Copy an object part by part; what cannot be copied is replaced by something that stands still."""
        learns = is_agent(value) or isinstance(value, nn.Module | torch.optim.Optimizer)
        whole = self._whole
        # Others' classes rely on their parts: a queue without its locks would wait for ever.
        self._whole = whole or (not learns and _is_opaque(type(value)))
        try:
            self.names.of_class(type(value))
            if isinstance(value, nn.Module):
                self._tensors_of(value)
            twin = self._rebuilt(value)
        except UntraceableError:
            raise
        except Exception as error:
            if learns and not self.shares:
                raise UntraceableError(f"it cannot be copied ({type(error).__name__}: {error})") from error
            if whole:
                raise
            return value if self.shares else stand_in_for(value)
        finally:
            self._whole = whole
        if isinstance(twin, nn.Module) and not self.shares:
            stand_in(twin)
            if isinstance(twin, PrintAgent):
                _silence(twin)
        if hasattr(twin, "__dict__"):
            self._holders.append(twin.__dict__)
        return twin

    def _tensors_of(self, module: nn.Module) -> None:
        """Copy what a module computes with: fake, however small, but for numbers that it may ask for."""
        own = [one for one in vars(module).values() if isinstance(one, Tensor) and one.numel() > 1]
        for value in [*module._parameters.values(), *module._buffers.values(), *own]:
            if value is not None and id(value) not in self._memo:
                self._originals.append(value)
                self._memo[id(value)] = self._tensor(value, constant=False)

    def _rebuilt(self, value: Any) -> Any:
        """Copy an object in the way in which its class wants to be copied or pickled, as `copy.deepcopy` does."""
        own: Callable[..., Any] | None = getattr(type(value), "__deepcopy__", None)
        if own is not None:
            with self._copying():
                return own(value, self._memo)
        if isinstance(value, functools.partial):
            return type(value)(self._copy(value.func), *map(self._copy, value.args), **self._copy(dict(value.keywords)))
        reduce = copyreg.dispatch_table.get(type(value))
        reduced: Any = reduce(value) if reduce is not None else value.__reduce_ex__(4)
        if isinstance(reduced, str):
            return value
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        twin = self._memo[id(value)] = make(*(self._copy(one) for one in arguments))
        if state is not None:
            _set_state(twin, self._copy(state))
        for one in items or ():
            twin.append(self._copy(one))
        for key, one in pairs or ():
            twin[self._copy(key)] = self._copy(one)
        return twin


@contextlib.contextmanager
def acting_copies(agents: Sequence[Any]) -> Iterator[list[Any]]:
    """Yield copies of `agents` that may be run in their place: what they remember and change is forgotten."""
    twins = Twins(fake=False, shares=True)
    try:
        yield [twins.of(agent) for agent in agents]
    finally:
        twins.put_back()


def _real_copy(value: Any) -> Any:
    """Return a copy of what an environment has, its spaces for instance, which have random numbers of their own."""
    return Twins(fake=False).of(value)


def _is_opaque(kind: type) -> bool:
    """Return whether a class is somebody else's, of which the parts are not to be replaced one by one."""
    if kind.__module__.partition(".")[0] == "workspace_rl" or issubclass(kind, list | dict | tuple | set | frozenset):
        return False
    return is_foreign(kind.__module__) and kind not in (types.SimpleNamespace, functools.partial, collections.deque)


def _set_state(twin: Any, state: Any) -> None:
    if hasattr(twin, "__setstate__"):
        twin.__setstate__(state)
        return
    state, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    if state:
        twin.__dict__.update(state)
    for name, value in (slots or {}).items():
        setattr(twin, name, value)


def _array(value: np.ndarray) -> np.ndarray:
    if value.nbytes <= LARGE:
        return value.copy()
    view = value.view()
    view.flags.writeable = False
    return view


def _is_plain_function(value: Any) -> bool:
    """Return whether a value is a function written in C that belongs to no object."""
    return isinstance(value, types.BuiltinFunctionType) and isinstance(value.__self__, types.ModuleType | type(None))


def _silence(agent: PrintAgent) -> None:
    agent.__dict__["_show"] = lambda name, t: agent.get((name, t))
