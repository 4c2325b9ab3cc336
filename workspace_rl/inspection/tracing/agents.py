"""Running agents over their first steps, so that they report their calls and go on after their errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from workspace_rl.agent import is_agent
from workspace_rl.composition import TemporalAgent
from workspace_rl.errors import WorkspaceError
from workspace_rl.inspection.copies.environments import is_environment, resets_itself
from workspace_rl.inspection.memories.acting import is_memory
from workspace_rl.inspection.recording.accesses import Call
from workspace_rl.inspection.tracing.layouts import STEPS
from workspace_rl.inspection.tracing.trace import Failure, Stop, Trace
from workspace_rl.learning.modes import evaluation_mode
from workspace_rl.workspace import Workspace


class AgentTracer:
    """Runs the agents of a program."""

    def __init__(self, traced: Trace) -> None:
        """Note in `traced` what they do."""
        self.trace, self.recorder = traced, traced.recorder
        #: By name, the agents that have it.
        self._named: dict[str, list[int]] = {}

    def run(self, agent: Any, workspace: Workspace, kwargs: dict[str, Any]) -> None:
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

    def watch(self, *roots: Any) -> None:
        """Let all agents within `roots` report their calls, and go on after their errors."""
        for root in roots:
            for module in root.modules():
                if is_agent(module) and "_watched" not in module.__dict__:
                    module.__dict__["_watched"] = True
                    module.__dict__["forward"] = self._watched(module, module.forward)

    def _watched(self, agent: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
        name = self._unique_name(agent)
        environment = is_environment(agent)
        resets, remembers = environment and resets_itself(agent), is_memory(agent)
        states = tuple(getattr(agent, "state_variables", None) or ())

        def run(*args: Any, **kwargs: Any) -> None:
            t = kwargs.get("t", args[0] if args else None)
            call = Call(name, type(agent).__name__, self.recorder.part, t, environment, resets, remembers, states)
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
                    self.trace.fail(call, error)

        return run

    def _unique_name(self, agent: Any) -> str:
        name = str(getattr(agent, "_name", None) or type(agent).__name__)
        known = self._named.setdefault(name, [])
        known.append(id(agent))
        return name if len(known) == 1 else f"{name} ({len(known)})"


def _runs_over_time(agent: Any) -> bool:
    return isinstance(agent, TemporalAgent) or type(agent).__name__ == "TemporalAgent"
