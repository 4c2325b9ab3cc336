"""What variables look like, and workspaces that look so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from workspace_rl.inspection.recording.accesses import Source
from workspace_rl.inspection.recording.recorder import Recorder
from workspace_rl.workspace import Workspace

#: The batch size of replayed values: a number that nothing else is likely to be.
BATCH = 37
#: Steps over which agents are traced: what is done at later ones is done at the second.
STEPS = 2


@dataclass(frozen=True)
class Layout:
    """What a variable looks like as a whole."""

    #: `[T, B, ...]`
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device = torch.device("cpu")


Layouts = Mapping[str, Layout]


def layout_of(value: Tensor) -> Layout:
    """Return the layout of a whole variable `[T, B, ...]`."""
    return Layout(tuple(value.shape), value.dtype, value.device)


def layouts_of(workspace: Workspace) -> Layouts:
    """Return the layouts of all variables of a workspace."""
    return {name: Layout(tuple(one.size), one.dtype, one.device) for name, one in workspace.variables.items()}


def workspace_of(layouts: Layouts, kind: str, recorder: Recorder) -> Workspace:
    """Return a workspace of zeros with these layouts, whose values come from `kind`: `REPLAYED`, or `GIVEN`."""
    workspace = Workspace()
    with recorder.quiet():
        for name, layout in layouts.items():
            workspace.set_full(name, torch.zeros(layout.shape, dtype=layout.dtype, device=layout.device))
    for variable in workspace.variables.values():
        variable.sources = dict.fromkeys(range(variable.time_size()), Source(kind))  # type: ignore[attr-defined]
    return workspace
