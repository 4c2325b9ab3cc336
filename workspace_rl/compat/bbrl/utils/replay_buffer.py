"""`bbrl.utils.replay_buffer`: the one piece that the library has no counterpart of, since its own stores frames."""

from __future__ import annotations

import torch
from torch import Tensor

from workspace_rl.compat.bbrl.workspace import Workspace
from workspace_rl.errors import ReplayBufferError


class ReplayBuffer:
    """A ring of ready-made transitions, or of trajectories of any length T: the columns of workspaces `[T, B, ...]`."""

    def __init__(self, max_size: float, device: torch.device | str = "cpu") -> None:
        """Hold `max_size` columns; memory is claimed when the first ones are put."""
        self.max_size = int(max_size)
        self.device = torch.device(device)
        self.variables: dict[str, Tensor] | None = None  # [max_size, T, ...]
        self.position = 0
        self.is_full = False

    def put(self, workspace: Workspace) -> None:
        """Append the columns of a workspace; if there are more than fit, the last ones.

        Raises:
            ReplayBufferError: the variables are not those of the first call, or do not look like them.
        """
        columns = {name: workspace.get_full(name).detach().transpose(0, 1) for name in workspace.keys()}
        if self.variables is None:
            self.variables = {
                name: torch.zeros((self.max_size, *value.shape[1:]), dtype=value.dtype, device=self.device)
                for name, value in columns.items()
            }
        self._check(columns)
        n_columns = len(next(iter(columns.values()), ()))
        # BBRL's arithmetic, as long as the columns fit: the parts before and after the end of the ring.
        kept = min(n_columns, self.max_size)
        first = (self.position + n_columns - kept) % self.max_size
        until_end = min(kept, self.max_size - first)
        for name, value in columns.items():
            stored, value = self.variables[name], value[n_columns - kept :]
            stored[first : first + until_end] = value[:until_end]
            stored[: kept - until_end] = value[until_end:]
        self.is_full |= self.position + n_columns >= self.max_size
        self.position = (self.position + n_columns) % self.max_size

    def _check(self, columns: dict[str, Tensor]) -> None:
        stored = self.variables or {}
        for name in stored.keys() | columns.keys():
            expected, found = (
                f"{list(one[name].shape[1:])} of {one[name].dtype}" if name in one else "nothing"
                for one in (stored, columns)
            )
            if expected != found or len(columns[name]) != len(next(iter(columns.values()))):
                raise ReplayBufferError(
                    f"variable {name!r} does not fit the replay buffer: {expected} expected, as in the first workspace "
                    f"that was put, {found} found. Nothing was stored."
                )

    def size(self) -> int:
        """Return the number of columns that are stored."""
        return self.max_size if self.is_full else self.position

    def get_shuffled(self, batch_size: int) -> Workspace:
        """Draw columns uniformly, with replacement: a workspace `[T, batch_size, ...]`."""
        if not self.variables or not self.size():
            raise ReplayBufferError("the replay buffer is empty: put transitions first.")
        chosen = torch.randint(self.size(), (batch_size,), device=self.device)
        workspace = Workspace()
        for name, stored in self.variables.items():
            workspace.set_full(name, stored.index_select(0, chosen).transpose(0, 1))
        return workspace

    def to(self, device: torch.device | str) -> None:
        """Move the buffer."""
        self.device = torch.device(device)
        self.variables = self.variables and {name: value.to(device) for name, value in self.variables.items()}

    def print_obs(self) -> None:
        """Print the position and the observations."""
        print(f"position: {self.position}")
        print((self.variables or {})["env/env_obs"])
