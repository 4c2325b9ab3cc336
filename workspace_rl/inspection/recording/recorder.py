"""Who reads and writes which variable at which step, noted while agents run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from torch import Tensor

from workspace_rl.agent import is_agent
from workspace_rl.inspection.copies.fake_tensors import is_fake
from workspace_rl.inspection.copies.untraceable import OutOfReachError
from workspace_rl.inspection.recording.accesses import Access, Call, Source
from workspace_rl.inspection.recording.callers import caller, short_name
from workspace_rl.inspection.recording.changes import ChangeWatch
from workspace_rl.inspection.recording.recorded_variables import RecordedVariable, recorded
from workspace_rl.inspection.recording.whole_reads import WholeReads
from workspace_rl.variables.named_variables import NamedVariables
from workspace_rl.workspace import Workspace


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
    whole_reads: WholeReads | None = None
    #: Tensors of workspaces that were changed in place.
    changes: ChangeWatch = field(default_factory=ChangeWatch)
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
        classes: list[Any] = [NamedVariables, *_subclasses(NamedVariables)]
        own = [(one, one.__dict__["_new_variable"]) for one in classes if "_new_variable" in one.__dict__]
        try:
            for workspace_class, variable_class in own:
                workspace_class._new_variable = recorded(variable_class, self)
            yield self
        finally:
            for workspace_class, variable_class in own:
                workspace_class._new_variable = variable_class
            self._workspaces.clear()
            self.changes.forget()

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
        self.changes.look(self.running or function)

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

    def note(self, variable: RecordedVariable, step: int | None, writes: bool, value: Tensor | None = None) -> None:
        """Record an access that has just happened; `value` is what was read or written."""
        if self._quiet:
            return
        where = caller()
        name = variable.name
        if where.internal:  # a workspace that is cut or joined: what comes out is as old as what went in
            if not writes:
                self._last_full[name] = dict(variable.sources)
            else:
                known = variable.sources or self._last_full.get(name, {})
                variable.came_from(step, known)
            return
        call = self._responsible(where.frame)
        if call is None:
            return
        old = variable.source(step)
        shape = tuple(variable.shape) if step is not None else (variable.time_size(), *variable.shape)
        access = Access(call, name, step, writes, shape, variable.dtype, old, self._number(where.workspace))
        if value is not None:
            self.changes.hold((id(variable), name, step), value, call, writes)
        if value is not None and not writes and self.origins is not None and not call.prepares:
            if step is None:
                self.origins.read_whole(value, name, variable._steps, variable.sources)
            else:
                self.origins.read(value, name, step, old)
        if value is not None and not writes and step is None and self.whole_reads is not None:
            if not self.whole_reads.add(value, access, dict(variable.sources)):
                return
        self.accesses.append(access)
        if not writes:
            self._last_full[name] = dict(variable.sources)
        elif where.library and not self.running and (variable.sources or name in self._last_full):
            # Functions of the library, such as `n_step_transitions`, prepare stored values.
            variable.came_from(step, variable.sources or self._last_full[name])
        else:
            source = Source("function" if call.is_function else "agent", call.name)
            variable.came_from(step, {0: source})

    def use(self, value: Tensor, steps: Sequence[int] | None) -> None:
        """Note that these steps of a tensor are used, None for all, if it is a whole variable that was read."""
        if self.whole_reads is not None and not self._quiet:  # variables look into themselves, too
            self.whole_reads.use(value, steps)

    def _number(self, workspace: Workspace | None) -> int:
        # The workspaces are kept, so that no two have the same id.
        if workspace is None:
            return 0
        return self._workspaces.setdefault(id(workspace), (len(self._workspaces) + 1, workspace))[0]


def _subclasses(parent: type) -> list[type]:
    children: list[type] = parent.__subclasses__()
    return [one for child in children for one in (child, *_subclasses(child))]
