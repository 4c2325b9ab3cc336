"""Looking for what is wrong with a composition, before it runs and before training."""

from __future__ import annotations

import warnings
from typing import Any

from workspace_rl.errors import CompositionError
from workspace_rl.inspection.problems.finding import describe_untraced, find_problems
from workspace_rl.inspection.problems.problem import Problems
from workspace_rl.inspection.problems.stored import unseen_steps
from workspace_rl.inspection.tracing.inputs import Inputs
from workspace_rl.inspection.tracing.trace import Trace
from workspace_rl.inspection.tracing.tracer import trace


def check(target: Any, inputs: Inputs = None, *, strict: bool = False, **kwargs: Any) -> Problems:
    """Find what is wrong with a composition before it runs: nothing is computed, and no environment is stepped.

        check(SAC(config))                                # collecting, evaluation and update
        check(TemporalAgent(Agents(env_agent, policy)), stop_variable="env/done")
        check(critic, inputs={"env/env_obs": env_agent.observation_space, "action": env_agent.action_space})
        check(update, inputs=buffer)                      # a function of a batch

    It finds variables that are read but written by nobody, only at other steps, or later; that one agent writes over
    another's; shapes and dtypes that do not fit; stored values that are used where fresh ones are meant; losses that do
    not depend on what they are to train, or that combine each value of a batch with all others. A table of mistakes and
    messages is in docs/composition-mistakes.md. What a trace cannot follow is said in `notes`, and is no problem.

    Args:
        target: an agent, an algorithm, or a function of a batch.
        inputs: what others write before: see `trace`.
        strict: raise if there are problems.
        **kwargs: given to the agent or function.

    Raises:
        CompositionError: `strict`, and there are problems; or `target` or `inputs` are nothing that can be traced, or
            an algorithm's experience cannot do what the loop asks of it.
    """
    traced = trace(target, inputs, **kwargs)
    problems = _problems_of(traced)
    if strict and problems:
        raise CompositionError(str(problems))
    return problems


def check_before_training(algorithm: Any) -> Trace:
    """Warn of what is wrong with an algorithm, refuse to train what would fail, and return its trace.

    Raises:
        CompositionError: it would fail.
    """
    traced = trace(algorithm)
    problems = _problems_of(traced)
    if problems.fatal:
        raise CompositionError(str(problems))
    for problem in problems:
        warnings.warn(str(problem), stacklevel=3)
    return traced


def _problems_of(traced: Trace) -> Problems:
    return Problems(traced.name, list(find_problems(traced)), [*describe_untraced(traced), *unseen_steps(traced)])
