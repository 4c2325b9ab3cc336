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
        n_columns = len(next(iter(columns.values()), ()))
        self._check(columns, n_columns)
        end, kept = self.position + n_columns, min(n_columns, self.max_size)
        places = torch.arange(end - kept, end, device=self.device) % self.max_size
        for name, value in columns.items():
            self.variables[name][places] = value[n_columns - kept :].to(self.device)
        self.is_full |= end >= self.max_size
        self.position = end % self.max_size

    def _check(self, columns: dict[str, Tensor], n_columns: int) -> None:
        stored = {name: (n_columns, *value.shape[1:], value.dtype) for name, value in (self.variables or {}).items()}
        found = {name: (*value.shape, value.dtype) for name, value in columns.items()}
        for name in stored.keys() | found.keys():
            if stored.get(name) != found.get(name):
                raise ReplayBufferError(
                    f"variable {name!r} does not fit the replay buffer: columns, shape and dtype {stored.get(name)} "
                    f"expected, as in the first workspace that was put, {found.get(name)} found. Nothing was stored."
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
