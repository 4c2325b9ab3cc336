"""What a state was before the first step of a piece of time: a variable of one step, which goes with the state's own.

Where time is cut, it is what the state was before the cut. Its one step counts as none of the workspace's.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from workspace_rl.variables.variable import Variable

#: What is put behind the name of a state variable.
BEFORE = "/before"


def state_of(variables: Mapping[str, Variable], name: str) -> Variable | None:
    """Return the state whose value before step 0 variable `name` holds; None for all other variables."""
    if not name.endswith(BEFORE):
        return None
    state, before = variables.get(name[: -len(BEFORE)]), variables[name]
    if state is None or before.time_size() != 1 or before.shape != state.shape or before.dtype != state.dtype:
        return None
    return state


def before_step(variables: Mapping[str, Variable], name: str, step: int) -> Variable | None:
    """Return what variable `name` is for a piece of time that begins at `step`; None if it belongs to no state."""
    state = state_of(variables, name)
    if state is None:
        return None
    if not step:
        return variables[name].copy()
    before = state.window(step - 1, step)
    before.name = name
    return before


def before_each_step(variables: Mapping[str, Variable], name: str) -> Tensor | None:
    """Return what the state of variable `name` was before each of its steps, `[T, B, ...]`; None if it has no state."""
    state = state_of(variables, name)
    if state is None:
        return None
    return torch.cat((variables[name].get_full(), state.get_full()))[: state.time_size()]
