"""Running updates, so that the losses they minimise and the optimisers' steps are seen."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch

from workspace_rl.agent import is_agent
from workspace_rl.inspection.origins.rows import RowWatch
from workspace_rl.inspection.origins.watch import OriginWatch
from workspace_rl.inspection.recording.accesses import Call
from workspace_rl.inspection.recording.callers import failing_function
from workspace_rl.inspection.recording.steps import StepWatch
from workspace_rl.inspection.tracing.broadcasting import BroadcastWatch
from workspace_rl.inspection.tracing.layouts import BATCH
from workspace_rl.inspection.tracing.trace import IdleStep, Trace
from workspace_rl.workspace import Workspace


class UpdateTracer:
    """Runs the updates of a program."""

    def __init__(self, traced: Trace) -> None:
        """Note in `traced` what they do."""
        self.trace, self.recorder = traced, traced.recorder

    def run(self, update: Callable[..., Any], batch: Workspace, kwargs: dict[str, Any]) -> None:
        """Run an update; an error ends it."""
        size = batch.batch_size(next(iter(batch))) if len(batch) else 0
        watch = BroadcastWatch(size)
        watch.here = self._responsible
        origins = OriginWatch(self.trace.owners, self.recorder.part, self.trace.window, _action_shapes(batch))
        try:
            with watch, StepWatch(self.recorder), self._following(origins, size):
                update(batch, **kwargs)
        except Exception as error:
            where = failing_function(error)
            call = next((one for one in reversed(self.recorder.calls) if one.name == where), None)
            if call is None:
                call = Call(where, "function", self.recorder.part)
                self.recorder.calls.append(call)
            self.trace.fail(call, error)
        finally:
            self.recorder.look_for_changes()
        self.trace.broadcasts += watch.found
        self.trace.trainings += origins.gradients.trainings
        self.trace.ratios += origins.ratios.found

    @contextlib.contextmanager
    def preparing(self) -> Iterator[None]:
        """Follow values of what is made of a rollout within the block."""
        self.trace.begin("preparing")
        origins = OriginWatch(self.trace.owners, self.recorder.part, self.trace.window)
        with StepWatch(self.recorder), self._following(origins, BATCH):
            yield

    @contextlib.contextmanager
    def _following(self, origins: OriginWatch, batch_size: int) -> Iterator[None]:
        self.recorder.origins = origins
        times = {self.trace.window, self.trace.window - 1}
        rows = RowWatch(batch_size, times, origins.of, self._responsible)
        try:
            with origins, rows:
                yield
        finally:
            self.recorder.origins = None
            self.trace.crossings += rows.found

    def _responsible(self, frame: FrameType) -> Call:
        return self.recorder.running or self.recorder.of_function(frame)

    def own(self, *roots: tuple[str, Any]) -> None:
        """Note to whom parameters belong: to the innermost agent, or else to the module that holds all others."""
        modules = [(name, one) for name, one in roots if isinstance(one, torch.nn.Module)]
        inner = {id(part) for _, one in modules for part in one.modules() if part is not one}
        for name, one in modules:
            if not is_agent(one) and id(one) not in inner:
                self.trace.owners.add(one, name)
        for _, one in modules:
            for part in one.modules():
                if is_agent(part):
                    self.trace.owners.add(part, str(getattr(part, "_name", None) or type(part).__name__))

    def watch_optimizer(self, optimizer: torch.optim.Optimizer, name: str) -> None:
        """Let an optimiser report its steps, and change nothing by them."""
        if "_watched" in optimizer.__dict__:
            return
        optimizer.__dict__["_watched"] = True
        optimizer.__dict__.pop("graph_step", None)
        zero_grad = optimizer.zero_grad

        def forget(*args: Any, **kwargs: Any) -> None:
            if self.recorder.origins is not None:
                self.recorder.origins.gradients.cleared(optimizer)
            zero_grad(*args, **kwargs)

        def step(*args: Any, **kwargs: Any) -> None:
            parameters = [one for group in optimizer.param_groups for one in group["params"]]
            if all(one.grad is None for one in parameters):
                call = self.recorder.calls[-1] if self.recorder.calls else Call(name, "optimizer", "update")
                self.trace.idle_steps.append(IdleStep(name, call))
            if self.recorder.origins is not None:
                self.recorder.origins.gradients.stepped(optimizer, name)

        optimizer.__dict__["step"] = step
        optimizer.__dict__["zero_grad"] = forget


def _action_shapes(batch: Workspace) -> list[tuple[int, ...]]:
    """Return the shapes of what is stored and no environment writes."""
    names = [name for name in batch if "action" in name.rpartition("/")[2]]
    return [tuple(batch.variables[name].shape) for name in names if batch.variables[name].dtype.is_floating_point]
