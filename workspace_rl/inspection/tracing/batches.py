"""What an algorithm learns from: the batches that its update is given, by their layouts alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workspace_rl.inspection.tracing.layouts import BATCH, Layout, Layouts


@dataclass(frozen=True)
class ExampleBatch:
    """What the batches of an algorithm look like."""

    #: The variables that are stored of what is collected.
    stored: list[str]
    #: The number of frames, T.
    window: int
    #: `[T, B, ...]` of each variable.
    layouts: Layouts
    #: What collecting should write, and does not: without it there is no batch.
    missing: list[str]


def example_batch(algorithm: Any, collected: Layouts) -> ExampleBatch:
    """Return what the update of `algorithm` is given, where its environment agent and policy have written `collected`.

    These are windows out of a replay buffer, of which each variable has `n_step_return + 1` steps. The rest of a trace
    asks for nothing else: batches of another kind, a rollout say, are told apart here.

    Args:
        algorithm: its `stored_variables` and `parameters` say what is stored, and how long windows are.
        collected: the layouts of all variables after some steps of collecting, `[T, n_envs, ...]`.
    """
    stored, window = [*algorithm.stored_variables], algorithm.parameters.n_step_return + 1
    names = [*stored, "env/done"]
    layouts = {
        name: Layout((window, BATCH, *one.shape[2:]), one.dtype, one.device)
        for name, one in ((name, collected[name]) for name in names if name in collected)
    }
    return ExampleBatch(stored, window, layouts, [name for name in names if name not in collected])
