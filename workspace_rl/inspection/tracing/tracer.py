"""Running a program on fake tensors, to see what it does: nothing is computed, and no environment is stepped."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch

from workspace_rl.agent import is_agent
from workspace_rl.basics.classes import is_trusted
from workspace_rl.composition import Agents, TemporalAgent
from workspace_rl.errors import CompositionError, NoWorkspaceError, WorkspaceError
from workspace_rl.inspection.copies.environments import begins_anew, is_environment
from workspace_rl.inspection.copies.fake_tensors import Guard
from workspace_rl.inspection.copies.harmless import harmless
from workspace_rl.inspection.copies.twins import Twins
from workspace_rl.inspection.copies.untraceable import OutOfReachError, UntraceableError
from workspace_rl.inspection.memories.acting import is_memory
from workspace_rl.inspection.memories.candidates import candidates
from workspace_rl.inspection.memories.faults import Fault
from workspace_rl.inspection.memories.trials import gathered_statistics, random_choice
from workspace_rl.inspection.memories.trying import memory_faults
from workspace_rl.inspection.recording.accesses import GIVEN, REPLAYED
from workspace_rl.inspection.topology.of_run import topology_of
from workspace_rl.inspection.tracing.agents import AgentTracer
from workspace_rl.inspection.tracing.batches import example_batch
from workspace_rl.inspection.tracing.ends import learns_from_resets
from workspace_rl.inspection.tracing.inputs import Inputs, input_layouts
from workspace_rl.inspection.tracing.layouts import Layouts, layouts_of, workspace_of
from workspace_rl.inspection.tracing.limits import reason
from workspace_rl.inspection.tracing.trace import Trace
from workspace_rl.inspection.tracing.updates import UpdateTracer
from workspace_rl.learning.metrics import require_metrics
from workspace_rl.workspace import Workspace


def trace(target: Any, inputs: Inputs = None, **kwargs: Any) -> Trace:
    """Trace an agent, an algorithm, or a function of a batch.

    Args:
        target: an agent or a composition; an algorithm (`SAC(config)`), whose collecting, evaluation and update are
            traced; or a function that takes a batch, whose agents and optimisers are among its globals.
        inputs: what others write before: a workspace, a replay buffer, an environment agent, or a mapping of names to
            tensors `[T, B, ...]` or to gymnasium spaces (of one environment).
        **kwargs: given to the agent or function.

    Raises:
        CompositionError: `target` is nothing that could be traced, or `inputs` is none of these; or an algorithm's
            experience cannot do what the loop asks of it.
    """
    layouts = input_layouts(inputs)
    traced = _Tracer(target, fake=True).run(layouts, kwargs)
    if "evaluating" in traced.parts:
        variable = str(getattr(target.train_env, "input_name", "action"))
        traced.explores = repr(variable) if random_choice(target.eval_policy, target.train_env, variable) else ""
        for policy in (target.policy, target.eval_policy):
            traced.gathers |= gathered_statistics(policy, target.train_env)
    doubtful = [one for one in traced.failures if one.untraceable or not isinstance(one.error, WorkspaceError)]
    if not doubtful:
        _try(target, inputs, kwargs, traced, traced)
        return traced
    # Fake tensors cannot do everything that real ones can: what fails with both is wrong.
    reaches = any(isinstance(one.error, OutOfReachError | NoWorkspaceError) for one in doubtful)
    again = Trace(traced.name) if reaches else _Tracer(target, fake=False).run(layouts, kwargs)
    failures = again.failures
    traced.crossings = traced.crossings or again.crossings
    confirmed = {(one.call.name, one.call.t, one.call.part) for one in failures if not one.untraceable}
    for failure in doubtful:
        call = failure.call
        if (call.name, call.t, call.part) not in confirmed:
            failure.untraceable = True
            call.untraced = call.untraced or reason(failure.error)
    _try(target, inputs, kwargs, traced, again)
    return traced


def _try(target: Any, inputs: Inputs, kwargs: dict[str, Any], traced: Trace, again: Trace) -> None:
    """Try on made-up episodes what has no errors."""
    if not all(one.untraceable for one in traced.failures):
        return
    traced.memories = _memories(target, inputs, kwargs, traced, again)
    # What learns in this library is tried by its tests; batches of a function are sequences where it remembers.
    known = hasattr(target, "train_env") or traced.remembers
    if known and not is_trusted(type(target)):
        traced.counts_resets = learns_from_resets(target, traced.frames, traced.flags)


def _memories(target: Any, inputs: Inputs, kwargs: dict[str, Any], *traces: Trace) -> list[Fault]:
    """Return what is wrong with the memories of an agent, or of the policies of an algorithm."""
    accesses = [one for each in traces for one in each.recorder.accesses]
    if "evaluating" in traces[0].parts:
        environment, policies = target.train_env, [(target.policy, {"step": 0}), (target.eval_policy, {})]
    elif is_agent(target):
        within = (one for one in [inputs, *target.modules()] if is_environment(one))
        environment = next(within, None)
        policies = [(target, {name: one for name, one in kwargs.items() if name not in ("t", "n_steps")})]
    else:
        environment, policies = None, []
    if environment is None or "stop_variable" in kwargs or not begins_anew(environment):
        return []
    choice = str(getattr(environment, "input_name", None) or getattr(environment, "input", "action"))
    known = candidates(accesses)
    return [one for policy, given in policies for one in memory_faults(policy, environment, known, choice, given)]


class _Tracer:
    """Traces one target, on fake or on real copies of its agents."""

    def __init__(self, target: Any, fake: bool) -> None:
        self.target = target
        self.twins = Twins(fake)
        self.trace = Trace(_name_of(target))
        self.trace.recorder.fake = fake
        self.agents, self.updates = AgentTracer(self.trace), UpdateTracer(self.trace)

    def run(self, inputs: Layouts, kwargs: dict[str, Any]) -> Trace:
        """Trace an agent, an algorithm or a function; what cannot be traced is noted."""
        target = self.target
        with self._harmless():
            try:
                if is_agent(target):
                    self._agent(inputs, kwargs)
                elif hasattr(target, "train_env") and callable(getattr(target, "update", None)):
                    self._algorithm()
                elif callable(target):
                    self._function(inputs, kwargs)
                else:
                    raise CompositionError(
                        f"an agent, an algorithm or a function of a batch can be looked at, {target!r} was given."
                    )
            except UntraceableError as error:
                self.trace.notes.append(f"{self.trace.name} was not traced: {error.args[0]}.")
            except CompositionError:
                raise
            except Exception as error:  # whatever a program does that was not thought of: it may be right
                self.trace.notes.append(f"{self.trace.name} was not traced to its end: {reason(error)}.")
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
                stack.enter_context(self.trace.recorder.active())
                if self.twins.mode is not None:
                    stack.enter_context(self.twins.mode)
                    stack.enter_context(Guard())
                yield
        finally:
            logger.disabled = disabled

    # ---- an agent -------------------------------------------------------------------------------------------------

    def _agent(self, inputs: Layouts, kwargs: dict[str, Any]) -> None:
        self.trace.begin("running")
        workspace = workspace_of(inputs, GIVEN, self.trace.recorder)
        twin = self.twins.of(self.target)
        self.agents.watch(twin)
        self.agents.run(twin, workspace, kwargs)

    # ---- a function of a batch ------------------------------------------------------------------------------------

    def _function(self, inputs: Layouts, kwargs: dict[str, Any]) -> None:
        self.trace.begin("update")
        twin = self.twins.of(self.target)
        modules = self.twins.found(torch.nn.Module).values()
        self.trace.recurrent = any(is_memory(one) for _, one in modules)
        for _, module in modules:
            self.agents.watch(module)
        self.updates.own(*modules)
        for name, optimizer in self.twins.found(torch.optim.Optimizer).values():
            self.updates.watch_optimizer(optimizer, name)
        batch = workspace_of(inputs, REPLAYED, self.trace.recorder)
        self.trace.batch = self.trace.frames = inputs
        self.trace.window = max((batch.time_size(name) for name in batch), default=0)
        self.trace.flags = kwargs
        self.updates.run(twin, batch, kwargs)

    # ---- an algorithm ---------------------------------------------------------------------------------------------

    def _algorithm(self) -> None:
        algorithm = self.twins.of(self.target)
        self.agents.watch(*(one for one in vars(algorithm).values() if isinstance(one, torch.nn.Module)))
        self.updates.own(*self.twins.found(torch.nn.Module).values())
        collected = self._act(algorithm)
        self._learn(algorithm, collected)

    def _act(self, algorithm: Any) -> Layouts:
        """Run the policies of an algorithm, and return the layouts of what it collects."""
        env = algorithm.train_env
        self.trace.begin("collecting")
        collected = Workspace()
        self.agents.run(TemporalAgent(Agents(env, algorithm.policy)), collected, {"step": 0})
        if algorithm.random_steps and hasattr(algorithm, "random_policy"):
            self.trace.begin("collecting at random")
            self.agents.run(TemporalAgent(Agents(env, algorithm.random_policy)), Workspace(), {"step": 0})
        self.trace.begin("evaluating")
        self.agents.run(TemporalAgent(Agents(env, algorithm.eval_policy.eval())), Workspace(), {})
        return layouts_of(collected)

    @contextlib.contextmanager
    def _lend_frames(self, layouts: Layouts, window: int) -> Iterator[Workspace]:
        """Lend a rollout, and see what is made of it before it is learned from."""
        self.trace.window = window
        with self.updates.preparing():
            yield workspace_of(layouts, REPLAYED, self.trace.recorder)

    def _learn(self, algorithm: Any, collected: Layouts) -> None:
        """Run the updates of an algorithm, one for each set of flags."""
        example = example_batch(algorithm, collected, self._lend_frames)
        self.trace.kept_in, self.trace.batch_kind = example.kind, example.batch_kind
        self.trace.stored_by, self.trace.stored, self.trace.window = example.stored_by, example.stored, example.window
        self.trace.adder = example.adder
        self.trace.burn_in = getattr(getattr(algorithm, "parameters", None), "frames_before", 0)
        self.trace.topology = topology_of(self.target, example.kind, example.frame_bytes, example.window)
        for name, optimizer in algorithm.members(torch.optim.Optimizer).items():
            self.updates.watch_optimizer(optimizer, name)
        if "update" in vars(self.target):
            self.trace.notes.append("the update was not traced: it was replaced on the object, not in its class.")
            return
        if example.missing:
            missing = ", ".join(map(repr, example.missing))
            self.trace.notes.append(f"the update was not traced: collecting did not write {missing}, which is stored.")
            return
        self.trace.batch, self.trace.frames = example.layouts, example.frames
        variants = {tuple(algorithm.update_flags(n).items()) for n in range(1, 65)}
        # The richest last: it is the one that is shown.
        for flags in sorted(variants):
            self.trace.begin("update" if len(variants) == 1 else f"update, {_listed(flags)}")
            batch = workspace_of(example.layouts, REPLAYED, self.trace.recorder)
            self.trace.flags = dict(flags)
            self.updates.run(partial(_metrics_of, algorithm), batch, self.trace.flags)


def _name_of(target: Any) -> str:
    if is_agent(target):
        return str(getattr(target, "_name", None) or type(target).__name__)
    if hasattr(target, "__qualname__"):
        return str(target.__qualname__).rpartition("<locals>.")[2]
    return type(target).__name__


def _listed(flags: Sequence[tuple[str, Any]]) -> str:
    words = {True: "{}", False: "not {}"}
    return ", ".join(words.get(value, "{}={}").format(name, value) for name, value in flags)


def _metrics_of(algorithm: Any, batch: Workspace, **flags: Any) -> None:
    require_metrics(algorithm.update(batch, **flags), type(algorithm).__name__)
