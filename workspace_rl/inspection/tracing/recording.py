"""Who reads and writes which variable at which step, noted while agents run."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor

from workspace_rl import workspace as workspace_module
from workspace_rl.agent import is_agent
from workspace_rl.errors import CompositionError, WorkspaceError
from workspace_rl.workspace import Variable, Workspace


class UntraceableError(CompositionError):
    """An agent does something that cannot be done without consequences."""


class OutOfReachError(UntraceableError):
    """A program uses agents or parameters that were not copied: run on real tensors, it would change them."""


#: Where a value comes from that no agent has computed in the traced program.
REPLAYED, GIVEN = "replayed", "given"


#: This library's functions that put what is stored into the form of transitions.
PREPARING = ("n_step_transitions", "clip_rewards")


@dataclass(frozen=True)
class Source:
    """Where a value comes from."""

    #: `REPLAYED` (a stored value), `GIVEN` (an input of the trace), "agent" or "function".
    kind: str
    #: The agent or function that computed it.
    name: str = ""

    @property
    def fresh(self) -> bool:
        """Whether an agent or function of the traced program has computed it."""
        return self.kind in ("agent", "function")

    def __str__(self) -> str:
        """Return a word or two for tables."""
        return f"from {self.name}" if self.name else self.kind


@dataclass(eq=False)
class Call:
    """One call of an agent, or a function (a loss) that uses a workspace outside of agents."""

    name: str
    #: Its class, or "function".
    kind: str
    #: The part of the program: "collecting", "update", ...
    part: str
    #: The step it was called with, if any.
    t: int | None = None
    #: Whether it stands for environments.
    environment: bool = False
    #: Whether these are several, and each is reset by itself when its episode ends.
    resets: bool = False
    #: Why it could not be traced to its end, if so.
    untraced: str = ""

    @property
    def is_function(self) -> bool:
        """Whether it is a function, not an agent."""
        return self.kind == "function"

    def __str__(self) -> str:
        """Return the name for messages."""
        if self.is_function:
            return f"function {self.name!r}"
        return f"agent {self.name!r} ({self.kind})" if self.name != self.kind else f"agent {self.name!r}"


@dataclass(eq=False)
class Access:
    """One read or write of a variable."""

    call: Call
    variable: str
    #: None for the whole variable.
    step: int | None
    writes: bool
    #: Of one step, `[B, ...]`; of the whole variable, `[T, B, ...]`.
    shape: tuple[int, ...]
    dtype: torch.dtype
    #: Where the value that is read, or that is overwritten, comes from.
    source: Source | None
    #: Tells workspaces apart.
    workspace: int = 0


@dataclass(frozen=True)
class Change:
    """A tensor of a workspace that was changed in place."""

    #: Who changed it, for messages.
    by: str
    variable: str
    step: int | None
    #: Whether it was written just before, not read.
    written: bool


@dataclass(eq=False)
class _Held:
    """A tensor that somebody has read or written, as it was then."""

    value: Tensor
    version: int
    call: Call
    written: bool


@dataclass(eq=False)
class WholeRead:
    """A whole variable that was read, and what became of it."""

    value: Tensor
    access: Access
    sources: dict[int, Source]
    #: The single steps that were used; None as long as nothing was.
    steps: set[int] | None = None
    as_a_whole: bool = False


@dataclass
class Recorder:
    """What happens on all workspaces that are created while it is active."""

    calls: list[Call] = field(default_factory=list)
    accesses: list[Access] = field(default_factory=list)
    #: The part that is running.
    part: str = ""
    #: Whether what is traced runs on fake tensors.
    fake: bool = True
    #: Of the running program, while its steps are watched: see `StepWatch`.
    whole_reads: list[WholeRead] | None = None
    #: Tensors of workspaces that were changed in place.
    changes: list[Change] = field(default_factory=list)
    _held: dict[tuple[Any, ...], _Held] = field(default_factory=dict)
    #: Follows values while an update runs: an `OriginWatch`.
    origins: Any = None
    _stack: list[Call] = field(default_factory=list)
    _function: tuple[Any, Call] | None = None
    _quiet: int = 0
    #: By name: where the steps of the last whole variable that was read come from.
    _last_full: dict[str, dict[int, Source]] = field(default_factory=dict)
    _workspaces: dict[int, tuple[int, Workspace]] = field(default_factory=dict)

    @contextlib.contextmanager
    def active(self) -> Iterator[Recorder]:
        """Let all workspaces that are created within the block record."""
        classes: list[Any] = [Workspace, *_subclasses(Workspace)]
        own = [(one, one.__dict__["_new_variable"]) for one in classes if "_new_variable" in one.__dict__]
        try:
            for workspace_class, variable_class in own:
                workspace_class._new_variable = _recorded(variable_class, self)
            yield self
        finally:
            for workspace_class, variable_class in own:
                workspace_class._new_variable = variable_class
            self._workspaces.clear()
            self._held.clear()

    # ---- calls ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def calling(self, call: Call) -> Iterator[None]:
        """Charge what happens within the block to `call`."""
        self.look_for_changes()
        self.calls.append(call)
        self._stack.append(call)
        try:
            yield
        finally:
            self.look_for_changes()
            self._stack.pop()
            self._function = None

    def look_for_changes(self) -> None:
        """Note the tensors that have changed in place since they were read or written, by whom runs now."""
        function = self._function[1] if self._function is not None else None
        with torch._C.DisableTorchFunction():
            changed = [(key, one) for key, one in self._held.items() if _version(one.value) != one.version]
        if not changed:
            return
        by = self.running or function
        # Views share a version: those count that were touched last.
        recent = [(key, one) for key, one in changed if one.call is by] or changed[:1]
        self.changes += [Change(str(by or one.call), key[1], key[2], one.written) for key, one in recent]
        for _, one in changed:
            one.version = _version(one.value)

    def _hold(self, variable: _Recorded, step: int | None, value: Tensor, call: Call, written: bool) -> None:
        if isinstance(value, torch.nn.Parameter):
            return
        with torch._C.DisableTorchFunction():
            version = _version(value)
        key = (id(variable), variable.name, step)
        known = self._held.get(key)
        if written or known is None or known.value is not value:
            self._held[key] = _Held(value, version, call, written)
        else:
            known.call, known.written = call, False

    @property
    def running(self) -> Call | None:
        """The innermost agent that is running."""
        return self._stack[-1] if self._stack else None

    def _responsible(self, frame: FrameType | None) -> Call | None:
        """Return who runs in `frame`: an agent, or else a function.

        Raises:
            OutOfReachError: it is an agent that was not copied.
        """
        if frame is None:
            return None
        agent = frame.f_locals.get("self")
        if is_agent(agent) and "_watched" not in vars(agent):  # made by the program that is traced, or not copied
            if any(not is_fake(one) for one in agent.parameters()) and self.fake:
                raise OutOfReachError("it runs agents that are out of the trace's reach")
            name = str(getattr(agent, "_name", None) or type(agent).__name__)
            return self._once(id(agent), name, type(agent).__name__)
        return self.running or self.of_function(frame)

    def of_function(self, frame: FrameType) -> Call:
        """Return the call of the function that runs in `frame`."""
        code = frame.f_code
        return self._once(id(code), short_name(code), "function")

    def _once(self, key: int, name: str, kind: str) -> Call:
        """Return the call that `key` stands for, a new one unless it was the last."""
        if self._function is None or self._function[0] != key:
            call = Call(name, kind, self.part)
            self.calls.append(call)
            self._function = (key, call)
        return self._function[1]

    # ---- accesses -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Record nothing within the block."""
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1

    def note(self, variable: _Recorded, step: int | None, writes: bool, value: Tensor | None = None) -> None:
        """Record an access that has just happened; `value` is what was read or written."""
        if self._quiet:
            return
        where = _where()
        name = variable.name
        if where.internal:  # a workspace that is cut or joined: what comes out is as old as what went in
            if not writes:
                self._last_full[name] = dict(variable.sources)
            else:
                known = variable.sources or self._last_full.get(name, {})
                self._keep(variable, step, known)
            return
        call = self._responsible(where.frame)
        if call is None:
            return
        old = variable.source(step)
        shape = tuple(variable.shape) if step is not None else (variable.time_size(), *variable.shape)
        access = Access(call, name, step, writes, shape, variable.dtype, old, self._number(where.workspace))
        if value is not None:
            self._hold(variable, step, value, call, writes)
        if (
            value is not None
            and not writes
            and self.origins is not None
            and not (call.is_function and call.name in PREPARING)
        ):
            if step is None:
                self.origins.read_whole(value, name, variable._steps, variable.sources)
            else:
                self.origins.read(value, name, step, old)
        if value is not None and not writes and step is None and self.whole_reads is not None:
            if any(one.value is value and one.access.call is call for one in self.whole_reads):
                return
            self.whole_reads.append(WholeRead(value, access, dict(variable.sources)))
        self.accesses.append(access)
        if not writes:
            self._last_full[name] = dict(variable.sources)
        elif where.library and not self.running and (variable.sources or name in self._last_full):
            # Functions of the library, such as `n_step_transitions`, prepare stored values.
            self._keep(variable, step, variable.sources or self._last_full[name])
        else:
            source = Source("function" if call.is_function else "agent", call.name)
            self._keep(variable, step, {0: source})

    def use(self, value: Tensor, steps: Sequence[int] | None) -> None:
        """Note that these steps of a tensor are used, None for all, if it is a whole variable that was read."""
        read = next((one for one in reversed(self.whole_reads or []) if one.value is value), None)
        if read is None or self._quiet:  # variables look into themselves, too
            return
        read.as_a_whole |= steps is None
        read.steps = read.steps or set()
        for step in set(steps or ()) - read.steps:
            whole = read.access
            single = replace(whole, step=step, shape=whole.shape[1:], source=read.sources.get(step))
            self.accesses.insert(self.accesses.index(whole), single)
        read.steps.update(steps or ())

    def settle(self) -> None:
        """Drop the reads of whole variables of which single steps, or shapes alone, were used."""
        dropped = {id(one.access) for one in self.whole_reads or () if one.steps is not None and not one.as_a_whole}
        self.accesses = [one for one in self.accesses if id(one) not in dropped]
        self.whole_reads = None

    def _keep(self, variable: _Recorded, step: int | None, sources: dict[int, Source]) -> None:
        if not sources:
            return
        common = next(iter(sources.values()))
        if step is None:
            steps = range(variable.time_size())
            variable.sources = {one: sources.get(one, common) for one in steps}  # type: ignore[misc]
        else:
            variable.sources[step] = sources.get(step, common)

    def _number(self, workspace: Workspace | None) -> int:
        # The workspaces are kept, so that no two have the same id.
        if workspace is None:
            return 0
        return self._workspaces.setdefault(id(workspace), (len(self._workspaces) + 1, workspace))[0]


class _Recorded(Variable):
    """A variable that reports to a recorder. See `_recorded` for the class that is used."""

    __slots__ = ()
    recorder: Recorder
    sources: dict[int, Source]

    def __init__(self, name: str, value: Tensor) -> None:
        super().__init__(name, value)
        self.sources = {}  # type: ignore[misc]  # the slot is in the class that `_recorded` makes

    def source(self, step: int | None) -> Source | None:
        """Return where a step comes from, or the whole variable if all of its steps come from the same place."""
        if step is not None:
            return self.sources.get(step)
        sources = set(self.sources.values())
        return sources.pop() if len(sources) == 1 else None

    def copy(self) -> _Recorded:
        twin: Any = super().copy()
        twin.sources = dict(self.sources)
        return twin  # type: ignore[no-any-return]

    def window(self, start: int, stop: int) -> _Recorded:
        part: Any = super().window(start, stop)
        part.sources = {step - start: source for step, source in self.sources.items() if start <= step < stop}
        return part  # type: ignore[no-any-return]

    def set(self, t: int, value: Tensor) -> None:
        with self._reporting(t):
            super().set(t, value)
        self.recorder.note(self, t if t >= 0 else t + self.time_size(), writes=True, value=value)

    def get(self, t: int) -> Tensor:
        with self._reporting(t):
            value = super().get(t)
        self.recorder.note(self, t if t >= 0 else t + self.time_size(), writes=False, value=value)
        return value

    def set_full(self, value: Tensor) -> None:
        with self._reporting(None):
            super().set_full(value)
        self.recorder.note(self, None, writes=True, value=value)

    def get_full(self) -> Tensor:
        with self._reporting(None):
            value = super().get_full()
        self.recorder.note(self, None, writes=False, value=value)
        return value

    @contextlib.contextmanager
    def _reporting(self, step: int | None) -> Iterator[None]:
        """Record nothing of what the variable does within itself, and let errors say what they are about."""
        try:
            with self.recorder.quiet():
                yield
        except WorkspaceError as error:
            error.variable, error.step = self.name, step
            raise


def _recorded(variable_class: type[Variable], recorder: Recorder) -> type[Variable]:
    members = {"__slots__": ("sources",), "recorder": recorder}
    # The mixin's own slots are empty, so that it goes with any class of variables.
    bases = (_Recorded,) if variable_class is Variable else (_Recorded, variable_class)
    return type("RecordedVariable", bases, members)


def _version(value: Tensor) -> int:
    return 0 if value.is_inference() else value._version


def _subclasses(parent: type) -> list[type]:
    children: list[type] = parent.__subclasses__()
    return [one for child in children for one in (child, *_subclasses(child))]


def short_name(code: CodeType) -> str:
    """Return the name of a function, with that of its class, and without those of functions around it."""
    return code.co_qualname.rpartition("<locals>.")[2]


def is_fake(tensor: Tensor) -> bool:
    """Return whether a tensor is a fake one, without values."""
    return type(tensor).__name__ == "FakeTensor" or hasattr(tensor, "fake_mode")


@dataclass
class _Where:
    #: The innermost function outside of the workspace's and the recorder's files.
    frame: FrameType | None
    workspace: Workspace | None
    #: Whether the workspace does it by itself, for instance in `select_batch`.
    internal: bool
    #: Whether that function is one of this library.
    library: bool


_DIRECT = {"get", "set", "get_full", "set_full", "set_several", "__getitem__", "__setitem__", "<genexpr>"}


def _where() -> _Where:
    """Look who is asking, by the frames of the interpreter: any function may, without declaring it."""
    frame: FrameType | None = sys._getframe(1)
    workspace, internal = None, False
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        inside = frame.f_code.co_filename == workspace_module.__file__ or module.endswith("bbrl.workspace")
        if inside:
            owner = frame.f_locals.get("self")
            workspace = owner if isinstance(owner, Workspace) else workspace
            internal = internal or frame.f_code.co_name not in _DIRECT
        elif module != __name__ and module not in ("contextlib", "workspace_rl.compat.assertions"):
            is_library = module.startswith("workspace_rl.")
            return _Where(frame, workspace, internal, is_library)
        frame = frame.f_back
    return _Where(None, workspace, internal, False)
