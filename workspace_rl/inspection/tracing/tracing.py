"""Running a program on fake tensors, to see what it does: nothing is computed, and no environment is stepped."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from workspace_rl.agent import is_agent
from workspace_rl.algorithm.contract import require_metrics
from workspace_rl.composition import Agents, TemporalAgent
from workspace_rl.errors import CompositionError, NoWorkspaceError, WorkspaceError
from workspace_rl.inspection.copies.harmless import harmless
from workspace_rl.inspection.copies.twins import Guard, Twins
from workspace_rl.inspection.tracing.broadcasting import Broadcast, BroadcastWatch
from workspace_rl.inspection.tracing.environments import is_environment, resets_itself
from workspace_rl.inspection.tracing.exploration import random_choice
from workspace_rl.inspection.tracing.inputs import BATCH, STEPS, Layout, Layouts, input_layouts
from workspace_rl.inspection.tracing.inputs import Inputs as Inputs
from workspace_rl.inspection.tracing.origins import OriginWatch, Owners, Training
from workspace_rl.inspection.tracing.recording import (
    GIVEN,
    REPLAYED,
    Access,
    Call,
    OutOfReachError,
    Recorder,
    Source,
    UntraceableError,
)
from workspace_rl.inspection.tracing.steps import StepWatch
from workspace_rl.learning.modes import evaluation_mode
from workspace_rl.workspace import Workspace


@dataclass(eq=False)
class Failure:
    """What went wrong in a call, while it was traced."""

    call: Call
    error: Exception
    #: Whether the error says that the trace, not the program, is at its end.
    untraceable: bool
    #: What the call has read before.
    reads: list[Access] = field(default_factory=list)


@dataclass(eq=False)
class IdleStep:
    """An optimiser's step without a gradient for any of its parameters."""

    optimizer: str
    call: Call


@dataclass(frozen=True)
class Stop:
    """A loop over time that ends where a variable says so."""

    #: Who runs, for messages.
    agent: str
    part: str
    variable: str
    #: Whether no number of steps ends it, either.
    unlimited: bool


@dataclass
class Trace:
    """What a program reads and writes, in the order in which it does."""

    #: The program's name.
    name: str
    recorder: Recorder = field(default_factory=Recorder)
    failures: list[Failure] = field(default_factory=list)
    idle_steps: list[IdleStep] = field(default_factory=list)
    broadcasts: list[Broadcast] = field(default_factory=list)
    #: The losses that optimisers minimise, each with what it comes from and whom it trains.
    trainings: list[Training] = field(default_factory=list)
    #: To whom parameters belong.
    owners: Owners = field(default_factory=Owners)
    stops: list[Stop] = field(default_factory=list)
    #: The variable of the evaluated policy that depends on random numbers, "" if none does.
    explores: str = ""
    #: The layouts of what an update is given.
    batch: Layouts = field(default_factory=dict)
    #: What could not be traced and why, one sentence each.
    notes: list[str] = field(default_factory=list)
    #: The parts, in order.
    parts: list[str] = field(default_factory=list)
    #: The number of frames of a replayed batch, 0 where nothing is replayed.
    window: int = 0
    #: The variables that are stored to be replayed.
    stored: list[str] = field(default_factory=list)


def trace(target: Any, inputs: Inputs = None, **kwargs: Any) -> Trace:
    """Trace an agent, an algorithm, or a function of a batch.

    Args:
        target: an agent or a composition; an algorithm (`SAC(config)`), whose collecting, evaluation and update are
            traced; or a function that takes a batch, whose agents and optimisers are among its globals.
        inputs: what others write before: a workspace, a replay buffer, an environment agent, or a mapping of names to
            tensors `[T, B, ...]` or to gymnasium spaces (of one environment).
        **kwargs: given to the agent or function.

    Raises:
        CompositionError: `target` is nothing that could be traced, or `inputs` is none of these.
    """
    layouts = input_layouts(inputs)
    traced = _Tracer(fake=True).run(target, layouts, kwargs)
    if "evaluating" in traced.parts:
        variable = str(getattr(target.train_env, "input_name", "action"))
        traced.explores = repr(variable) if random_choice(target.eval_policy, target.train_env, variable) else ""
    doubtful = [one for one in traced.failures if one.untraceable or not isinstance(one.error, WorkspaceError)]
    if not doubtful:
        return traced
    # Fake tensors cannot do everything that real ones can: what fails with both is wrong.
    reaches = any(isinstance(one.error, OutOfReachError | NoWorkspaceError) for one in doubtful)
    failures = [] if reaches else _Tracer(fake=False).run(target, layouts, kwargs).failures
    confirmed = {(one.call.name, one.call.t, one.call.part) for one in failures if not one.untraceable}
    for failure in doubtful:
        call = failure.call
        if (call.name, call.t, call.part) not in confirmed:
            failure.untraceable = True
            call.untraced = call.untraced or _reason(failure.error)
    return traced


class _Tracer:
    """Traces one target, on fake or on real copies of its agents."""

    def __init__(self, fake: bool) -> None:
        self.twins = Twins(fake)
        self.calls: dict[str, list[int]] = {}

    def run(self, target: Any, inputs: Layouts, kwargs: dict[str, Any]) -> Trace:
        self.trace = Trace(_name_of(target))
        self.recorder = self.trace.recorder
        self.recorder.fake = self.twins.mode is not None
        with self._harmless():
            try:
                if is_agent(target):
                    self._agent(target, inputs, kwargs)
                elif hasattr(target, "train_env") and callable(getattr(target, "update", None)):
                    self._algorithm(target)
                elif callable(target):
                    self._function(target, inputs, kwargs)
                else:
                    raise CompositionError(
                        f"an agent, an algorithm or a function of a batch can be looked at, {target!r} was given."
                    )
            except UntraceableError as error:
                self.trace.notes.append(f"{self.trace.name} was not traced: {error.args[0]}.")
            except CompositionError:
                raise
            except Exception as error:  # whatever a program does that was not thought of: it may be right
                self.trace.notes.append(f"{self.trace.name} was not traced to its end: {_reason(error)}.")
        return self.trace

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        """Let nothing of what is run within the block be seen outside of it."""
        logger = logging.getLogger("torch._subclasses.fake_tensor")
        disabled, logger.disabled = logger.disabled, True
        try:
            with contextlib.ExitStack() as stack:
                stack.enter_context(harmless())
                stack.callback(self.twins.put_back)
                stack.enter_context(self.recorder.active())
                if self.twins.mode is not None:
                    stack.enter_context(self.twins.mode)
                    stack.enter_context(Guard())
                yield
        finally:
            logger.disabled = disabled

    # ---- agents ---------------------------------------------------------------------------------------------------

    def _agent(self, agent: Any, inputs: Layouts, kwargs: dict[str, Any]) -> None:
        self._begin("running")
        workspace = self._given(inputs, GIVEN)
        self._run(self._twin(agent), workspace, kwargs)

    def _run(self, agent: Any, workspace: Workspace, kwargs: dict[str, Any]) -> None:
        """Run an agent over the first steps; nothing is raised."""
        kwargs = dict(kwargs)
        first = kwargs.pop("t", 0)
        stop_variable, n_steps = kwargs.pop("stop_variable", None), kwargs.pop("n_steps", None)
        steps = self._steps_of(agent, workspace) if n_steps is None else min(n_steps, STEPS)
        # What runs over time does so here by the agent itself; the others as a temporal agent would run them.
        with torch.no_grad(), evaluation_mode(agent):
            if _runs_over_time(agent):
                agent(workspace, t=first, n_steps=steps, **kwargs)
            else:
                for t in range(first, first + steps):
                    agent(workspace, t=t, **kwargs)
        if stop_variable is not None:
            self._stop(agent, workspace, stop_variable, first, n_steps is None)

    def _stop(self, agent: Any, workspace: Workspace, variable: str, t: int, unlimited: bool) -> None:
        call = Call(agent.name if hasattr(agent, "name") else type(agent).__name__, type(agent).__name__, "", t)
        call.part = self.recorder.part
        self.trace.stops.append(Stop(str(call), call.part, variable, unlimited))
        with self.recorder.calling(call):
            try:
                workspace.get(variable, t)
            except WorkspaceError as error:
                self.trace.failures.append(Failure(call, error, untraceable=False))

    def _steps_of(self, agent: Any, workspace: Workspace) -> int:
        if any(is_environment(one) for one in agent.modules()):
            return STEPS
        sizes = [workspace.time_size(name) for name in workspace]
        return max(1, min(STEPS, *sizes)) if sizes else 1

    def _twin(self, agent: Any) -> Any:
        twin = self.twins.of(agent)
        self._watch(twin)
        return twin

    def _watch(self, *roots: Any) -> None:
        """Let all agents within `roots` report their calls, and go on after their errors."""
        for root in roots:
            for module in root.modules():
                if is_agent(module) and "_watched" not in module.__dict__:
                    module.__dict__["_watched"] = True
                    module.__dict__["forward"] = self._watched(module, module.forward)

    def _watched(self, agent: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
        name = self._unique_name(agent)
        environment = is_environment(agent)
        resets = environment and resets_itself(agent)

        def run(*args: Any, **kwargs: Any) -> None:
            t = kwargs.get("t", args[0] if args else None)
            call = Call(name, type(agent).__name__, self.recorder.part, t, environment, resets)
            if _runs_over_time(agent):
                kwargs = dict(zip(("t", "n_steps", "stop_variable"), args, strict=False)) | kwargs
                args = ()
                variable, n_steps = kwargs.pop("stop_variable", None), kwargs.get("n_steps")
                if variable is not None:  # environments that stand still never end
                    self.trace.stops.append(Stop(str(call), call.part, variable, n_steps is None))
                    kwargs["n_steps"] = STEPS if n_steps is None else min(n_steps, STEPS)
            with self.recorder.calling(call):
                try:
                    forward(*args, **kwargs)
                except Exception as error:
                    self._fail(call, error)

        return run

    def _unique_name(self, agent: Any) -> str:
        name = str(getattr(agent, "_name", None) or type(agent).__name__)
        known = self.calls.setdefault(name, [])
        known.append(id(agent))
        return name if len(known) == 1 else f"{name} ({len(known)})"

    def _fail(self, call: Call, error: Exception) -> None:
        # Whoever has no workspace is not the copy: a method that was replaced on an object calls the object.
        untraceable = isinstance(error, UntraceableError | NoWorkspaceError) or _is_about_values(error)
        if untraceable:
            call.untraced = _reason(error)
        reads = [one for one in self.recorder.accesses if one.call is call and not one.writes]
        self.trace.failures.append(Failure(call, error, untraceable, reads))

    # ---- algorithms -----------------------------------------------------------------------------------------------

    def _algorithm(self, original: Any) -> None:
        algorithm = self.twins.of(original)
        self._watch(*(one for one in vars(algorithm).values() if isinstance(one, torch.nn.Module)))
        self._own(*self.twins.found(torch.nn.Module).values())
        env = algorithm.train_env
        self._begin("collecting")
        collected = Workspace()
        self._run(self._composed(env, algorithm.policy), collected, {"step": 0})
        if algorithm.parameters.random_steps:
            self._begin("collecting at random")
            self._run(self._composed(env, algorithm.random_policy), Workspace(), {"step": 0})
        self._begin("evaluating")
        self._run(self._composed(env, algorithm.eval_policy.eval()), Workspace(), {})

        self.trace.stored = [*algorithm.stored_variables]
        self.trace.window = algorithm.parameters.n_step_return + 1
        for name, optimizer in algorithm.members(torch.optim.Optimizer).items():
            self._watch_optimizer(optimizer, name)
        if "update" in vars(original):
            self.trace.notes.append("the update was not traced: it was replaced on the object, not in its class.")
            return
        if any(name not in collected for name in [*self.trace.stored, "env/done"]):
            self._note_missing(collected)
            return
        variants = {tuple(algorithm.update_flags(n).items()) for n in range(1, 17)}
        # The richest last: it is the one that is shown.
        for index, flags in enumerate(sorted(variants)):
            self._begin("update" if len(variants) == 1 else f"update, {_listed(flags)}")
            batch = self._replayed(collected, [*self.trace.stored, "env/done"])
            self.trace.batch = {name: Layout(tuple(one.size), one.dtype) for name, one in batch.variables.items()}
            self._call(partial(_metrics_of, algorithm), batch, dict(flags), last=index == len(variants) - 1)

    def _composed(self, env: Any, policy: Any) -> TemporalAgent:
        return TemporalAgent(Agents(env, policy))

    def _note_missing(self, collected: Workspace) -> None:
        missing = ", ".join(repr(name) for name in self.trace.stored if name not in collected)
        self.trace.notes.append(f"the update was not traced: collecting did not write {missing}, which is stored.")

    def _replayed(self, collected: Workspace, names: Sequence[str]) -> Workspace:
        """Return a batch as the replay buffer would sample it."""
        batch = Workspace()
        with self.recorder.quiet():
            for name in names:
                value = collected.get_full(name)
                shape = (self.trace.window, BATCH, *value.shape[2:])
                batch.set_full(name, torch.zeros(shape, dtype=value.dtype, device=value.device))
        _mark(batch, REPLAYED)
        return batch

    # ---- functions ------------------------------------------------------------------------------------------------

    def _function(self, function: Callable[..., Any], inputs: Layouts, kwargs: dict[str, Any]) -> None:
        self._begin("update")
        twin = self.twins.of(function)
        modules = self.twins.found(torch.nn.Module).values()
        for _, module in modules:
            self._watch(module)
        self._own(*modules)
        for name, optimizer in self.twins.found(torch.optim.Optimizer).values():
            self._watch_optimizer(optimizer, name)
        batch = self._given(inputs, REPLAYED)
        self.trace.batch = inputs
        self.trace.window = max((batch.time_size(name) for name in batch), default=0)
        self._call(twin, batch, kwargs)

    def _call(self, update: Callable[..., Any], batch: Workspace, kwargs: dict[str, Any], last: bool = True) -> None:
        """Run an update; an error ends it."""
        watch = BroadcastWatch(batch.batch_size(next(iter(batch))) if len(batch) else 0)
        watch.here = lambda frame: self.recorder.running or self.recorder.of_function(frame)
        origins = OriginWatch(self.trace.owners, self.recorder.part, self.trace.window, self._action_shapes(batch))
        self.recorder.origins = origins
        try:
            with watch, StepWatch(self.recorder), origins:
                update(batch, **kwargs)
        except Exception as error:
            where = watch.failing_function(error)
            call = next((one for one in reversed(self.recorder.calls) if one.name == where), None)
            if call is None:
                call = Call(where, "function", self.recorder.part)
                self.recorder.calls.append(call)
            self._fail(call, error)
        finally:
            self.recorder.look_for_changes()
            self.recorder.origins = None
        self.trace.broadcasts += watch.found
        self.trace.trainings += origins.trainings

    def _action_shapes(self, batch: Workspace) -> list[tuple[int, ...]]:
        """Return the shapes of what is stored and no environment writes."""
        names = [name for name in batch if "action" in name.rpartition("/")[2]]
        return [tuple(batch.variables[name].shape) for name in names if batch.variables[name].dtype.is_floating_point]

    def _own(self, *roots: tuple[str, Any]) -> None:
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

    def _watch_optimizer(self, optimizer: torch.optim.Optimizer, name: str) -> None:
        if "_watched" in optimizer.__dict__:
            return
        optimizer.__dict__["_watched"] = True
        optimizer.__dict__.pop("graph_step", None)
        zero_grad = optimizer.zero_grad

        def forget(*args: Any, **kwargs: Any) -> None:
            if self.recorder.origins is not None:
                self.recorder.origins.cleared(optimizer)
            zero_grad(*args, **kwargs)

        def step(*args: Any, **kwargs: Any) -> None:
            parameters = [one for group in optimizer.param_groups for one in group["params"]]
            if all(one.grad is None for one in parameters):
                call = self.recorder.calls[-1] if self.recorder.calls else Call(name, "optimizer", "update")
                self.trace.idle_steps.append(IdleStep(name, call))
            if self.recorder.origins is not None:
                self.recorder.origins.stepped(optimizer, name)

        optimizer.__dict__["step"] = step
        optimizer.__dict__["zero_grad"] = forget

    # ---- inputs ---------------------------------------------------------------------------------------------------

    def _begin(self, part: str) -> None:
        self.recorder.part = part
        self.trace.parts.append(part)

    def _given(self, inputs: Layouts, kind: str) -> Workspace:
        """Return a workspace with the layout of `inputs`."""
        workspace = Workspace()
        with self.recorder.quiet():
            for name, layout in inputs.items():
                workspace.set_full(name, torch.zeros(layout.shape, dtype=layout.dtype, device=layout.device))
        _mark(workspace, kind)
        return workspace


def _mark(workspace: Workspace, kind: str) -> None:
    for variable in workspace.variables.values():
        variable.sources = dict.fromkeys(range(variable.time_size()), Source(kind))  # type: ignore[attr-defined]


def _runs_over_time(agent: Any) -> bool:
    return isinstance(agent, TemporalAgent) or type(agent).__name__ == "TemporalAgent"


def _name_of(target: Any) -> str:
    if is_agent(target):
        return str(getattr(target, "_name", None) or type(target).__name__)
    if hasattr(target, "__qualname__"):
        return str(target.__qualname__).rpartition("<locals>.")[2]
    return type(target).__name__


def _listed(flags: Sequence[tuple[str, Any]]) -> str:
    words = {True: "{}", False: "not {}"}
    return ", ".join(words.get(value, "{}={}").format(name, value) for name, value in flags)


def _is_about_values(error: BaseException) -> bool:
    """Return whether an error comes from a fake tensor that was asked for its values."""
    return type(error).__module__ in ("torch._subclasses.fake_tensor", "torch.fx.experimental.symbolic_shapes")


def _reason(error: Exception) -> str:
    if isinstance(error, UntraceableError):
        return str(error.args[0])
    if isinstance(error, NoWorkspaceError):
        return "one of its methods was replaced by a function that uses the original"
    if _is_about_values(error):
        return "what it does depends on the values of tensors, which a trace does not have"
    return f"fake tensors cannot do what it does ({type(error).__name__}: {str(error).splitlines()[0][:120]})"


def _metrics_of(algorithm: Any, batch: Workspace, **flags: Any) -> None:
    require_metrics(algorithm.update(batch, **flags), type(algorithm).__name__)
