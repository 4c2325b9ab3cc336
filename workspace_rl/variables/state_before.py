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
    state, before = variables.get(name[: -len(BEFORE)]), variables.get(name)
    if state is None or before is None or before.time_size() != 1:
        return None
    return state if before.shape == state.shape and before.dtype == state.dtype else None


def before_step(state: Variable, before: Variable, step: int) -> Variable:
    """Return what goes with a state in a piece of time that begins at `step`; `before` goes with all of it."""
    if not step:
        return before.copy()
    piece = state.window(step - 1, step)
    piece.name = before.name
    return piece


def before_each_step(variables: Mapping[str, Variable], name: str) -> Tensor | None:
    """Return what the state of variable `name` was before each of its steps, `[T, B, ...]`; None if it has no state."""
    state = state_of(variables, name)
    if state is None:
        return None
    return torch.cat((variables[name].get_full(), state.get_full()))[: state.time_size()]
