"""Variables of a workspace that tell who reads and writes them, and know where each of their steps comes from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from torch import Tensor

from workspace_rl.errors import WorkspaceError
from workspace_rl.inspection.recording.accesses import Source
from workspace_rl.variables.variable import Variable


class Listener(Protocol):
    """Who is told: a `Recorder`."""

    def quiet(self) -> contextlib.AbstractContextManager[None]:
        """Take no notes within the block."""

    def note(self, variable: RecordedVariable, step: int | None, writes: bool, value: Tensor | None = None) -> None:
        """Take note of an access that has just happened."""


class RecordedVariable(Variable):
    """A variable that reports to a listener. See `recorded` for the class that is used."""

    __slots__ = ()
    recorder: Listener
    sources: dict[int, Source]

    def __init__(self, name: str, value: Tensor) -> None:
        super().__init__(name, value)
        self.sources = {}  # type: ignore[misc]  # the slot is in the class that `recorded` makes

    def source(self, step: int | None) -> Source | None:
        """Return where a step comes from, or the whole variable if all of its steps come from the same place."""
        if step is not None:
            return self.sources.get(step)
        sources = set(self.sources.values())
        return sources.pop() if len(sources) == 1 else None

    def came_from(self, step: int | None, sources: Mapping[int, Source]) -> None:
        """Note where a step comes from, or all of them; those that `sources` lacks come from where its first does."""
        if not sources:
            return
        common = next(iter(sources.values()))
        if step is None:
            steps = range(self.time_size())
            self.sources = {one: sources.get(one, common) for one in steps}  # type: ignore[misc]
        else:
            self.sources[step] = sources.get(step, common)

    def copy(self) -> RecordedVariable:
        """Return a copy that knows where its steps come from."""
        twin: Any = super().copy()
        twin.sources = dict(self.sources)
        return twin  # type: ignore[no-any-return]

    def window(self, start: int, stop: int) -> RecordedVariable:
        """Return some steps, which come from where they came from."""
        part: Any = super().window(start, stop)
        part.sources = {step - start: source for step, source in self.sources.items() if start <= step < stop}
        return part  # type: ignore[no-any-return]

    def set(self, t: int, value: Tensor) -> None:
        """Write a step, and report it."""
        with self._reporting(t):
            super().set(t, value)
        self.recorder.note(self, t if t >= 0 else t + self.time_size(), writes=True, value=value)

    def get(self, t: int) -> Tensor:
        """Return a step, and report that it is read."""
        with self._reporting(t):
            value = super().get(t)
        self.recorder.note(self, t if t >= 0 else t + self.time_size(), writes=False, value=value)
        return value

    def set_full(self, value: Tensor) -> None:
        """Write all steps, and report it."""
        with self._reporting(None):
            super().set_full(value)
        self.recorder.note(self, None, writes=True, value=value)

    def get_full(self) -> Tensor:
        """Return all steps, and report that they are read."""
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


def recorded(variable_class: type[Variable], recorder: Listener) -> type[Variable]:
    """Return a class like `variable_class` whose variables report to `recorder`."""
    members = {"__slots__": ("sources",), "recorder": recorder}
    # The mixin's own slots are empty, so that it goes with any class of variables.
    bases = (RecordedVariable,) if variable_class is Variable else (RecordedVariable, variable_class)
    return type("RecordedVariable", bases, members)
