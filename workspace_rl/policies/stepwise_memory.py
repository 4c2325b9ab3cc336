"""What a policy with memory remembers between single steps, for programs that ask it step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from workspace_rl.agent import Agent, state_variables
from workspace_rl.errors import ObservationError
from workspace_rl.workspace import Workspace

_TIMESTEP = "env/timestep"


class StepwiseMemory:
    """The state of a policy after its last step, and how far each episode of the batch is."""

    def __init__(self, policy: Agent) -> None:
        """Begin all episodes at the next step."""
        self._names, self._device = tuple(state_variables(policy)), policy.device
        self._state: dict[str, Tensor] = {}
        #: Of the next step, `[B]`; None where all episodes begin.
        self._timesteps: Tensor | None = None

    def __bool__(self) -> bool:
        """Return whether the policy has a state at all."""
        return bool(self._names)

    def next_step(self, size: int) -> tuple[Workspace, int]:
        """Return a workspace in which the policy is to act for `size` observations, and at which step.

        Raises:
            ObservationError: the episodes that are running are more or fewer.
        """
        workspace, timesteps = Workspace(), self._timesteps
        if timesteps is None:
            workspace.set(_TIMESTEP, 0, torch.zeros(size, dtype=torch.int64, device=self._device))
            return workspace, 0
        if len(timesteps) != size:
            raise ObservationError(
                f"{len(timesteps)} observations at a time expected, {size} found: the policy remembers the episodes of "
                f"{len(timesteps)}. Call act.reset() before others begin."
            )
        workspace.set_several(self._state, 0)
        workspace.set(_TIMESTEP, 1, timesteps)
        return workspace, 1

    def keep(self, workspace: Workspace, t: int) -> None:
        """Remember what the policy has written at step `t`."""
        self._state = {name: workspace.get(name, t) for name in self._names}
        self._timesteps = workspace.get(_TIMESTEP, t) + 1

    def reset(self, begins: Any = None) -> None:
        """Begin new episodes, where `begins` (`[B]`, bool) is true, or all of them, of as many as will be given.

        Raises:
            ObservationError: `begins` are not as many truth values as there are episodes.
        """
        if begins is None:
            self._timesteps, self._state = None, {}
            return
        timesteps = self._timesteps
        mask = _mask(begins, None if timesteps is None else len(timesteps))
        if timesteps is not None:
            self._timesteps = timesteps.masked_fill(torch.from_numpy(mask).to(timesteps.device), 0)


def _mask(begins: Any, n: int | None) -> np.ndarray:
    """Return truth values, `[B]`; `n` of them, where that is known."""
    try:
        mask = np.array(begins)
    except (TypeError, ValueError, RuntimeError):  # whatever is no array
        mask = np.array(None)
    if mask.dtype != bool or mask.ndim != 1 or n not in (None, len(mask)):
        expected = "a truth value for each observation of the batch" if n is None else f"truth values of shape [{n}]"
        raise ObservationError(
            f"act.reset(mask): {expected} expected, {mask.dtype} of shape {list(mask.shape)} found. To begin all "
            "episodes anew, call act.reset()."
        )
    return mask
