"""What an algorithm learns from: the batches that its update is given, by their layouts alone."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from workspace_rl.agent import before
from workspace_rl.algorithm.contract import require_part
from workspace_rl.basics.classes import is_trusted
from workspace_rl.experience.experience import Experience
from workspace_rl.inspection.tracing.layouts import BATCH, Layout, Layouts, layouts_of
from workspace_rl.workspace import Workspace


@dataclass(frozen=True)
class ExampleBatch:
    """What the batches of an algorithm look like."""

    #: What keeps what is collected, and what its batches are, in words.
    kind: str
    batch_kind: str
    #: What names the variables that are kept, in words, and these.
    stored_by: str
    stored: list[str]
    #: The number of frames, T.
    window: int
    #: How many bytes of one step of one environment are stored.
    frame_bytes: int
    #: `[T, B, ...]` of each variable.
    layouts: Layouts
    #: Of the frames that it is made of.
    frames: Layouts
    #: What collecting should write, and does not: without it there is no batch.
    missing: list[str]
    #: The class that may add variables to batches, where it is the user's own.
    adder: str = ""


#: Lends frames that look so to whoever makes batches of them.
Lend = Callable[[Layouts, int], AbstractContextManager[Workspace]]


@contextlib.contextmanager
def example_frames(layouts: Layouts, window: int) -> Iterator[Workspace]:
    """Lend a workspace of zeros that looks like what was collected."""
    yield _zeros(layouts)


def example_batch(algorithm: Any, collected: Layouts, lend: Lend = example_frames) -> ExampleBatch:
    """Return what the update of `algorithm` is given, where its environment agent and policy have written `collected`.

    The rest of a trace asks for nothing else: windows out of a replay buffer, rollouts and others are told apart here.

    Args:
        algorithm: its `make_experience` says what is kept, and how long batches are.
        collected: the layouts of all variables after some steps of collecting, `[T, n_envs, ...]`.
        lend: lends frames of these layouts, of which there are so many, to what makes batches of them.

    Raises:
        CompositionError: `make_experience` returns something that cannot do what the loop asks of it.
    """
    experience = algorithm.make_experience()
    require_part(type(algorithm), "make_experience", experience)
    states, window = getattr(experience, "state_variables", ()), experience.window
    # What policies remember is stored with frames, or with a rollout: it is not learned from.
    stored = [name for name in experience.variables if name not in states]
    # An experience of a class of its own need not derive from the library's.
    kind, batch_kind = (getattr(experience, name, getattr(Experience, name)) for name in ("kind", "batch_kind"))
    stored_by = "stored_variables" if hasattr(algorithm, "stored_variables") else f"the {kind}"
    names = [*stored, "env/done"]
    frames = {
        name: Layout((window, BATCH, *one.shape[2:]), one.dtype, one.device)
        for name, one in ((name, collected[name]) for name in names if name in collected)
    }
    kept = [collected[name] for name in (*experience.variables, "env/done") if name in collected]
    frame_bytes = sum(math.prod(one.shape[2:]) * one.dtype.itemsize for one in kept)
    for name, one in ((name, collected[name]) for name in states if name in collected):
        frames[before(name)] = Layout((1, BATCH, *one.shape[2:]), one.dtype, one.device)
    missing = [name for name in (*names, *states) if name not in collected]
    layouts: Layouts = frames
    if not missing and hasattr(experience, "as_batch"):
        with lend(frames, window) as lent:
            layouts = layouts_of(experience.as_batch(lent))
    steps, batch = next((one.shape[:2] for one in layouts.values()), (window, BATCH))
    layouts = {**layouts} | {
        name: Layout((steps, batch, *shape), dtype, algorithm.device)
        for name, (shape, dtype) in getattr(experience, "added", {}).items()
    }
    adder = "" if is_trusted(type(experience)) else type(experience).__name__
    return ExampleBatch(kind, batch_kind, stored_by, stored, window, frame_bytes, layouts, frames, missing, adder)


def _zeros(layouts: Layouts) -> Workspace:
    workspace = Workspace()
    for name, layout in layouts.items():
        workspace.set_full(name, torch.zeros(layout.shape, dtype=layout.dtype, device=layout.device))
    return workspace
