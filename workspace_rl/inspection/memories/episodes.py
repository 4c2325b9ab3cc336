"""Made-up episodes: frames of environments that end at different steps, terminated or truncated."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor

from workspace_rl.envs.spaces.observations import space_leaves
from workspace_rl.inspection.copies.environments import frame
from workspace_rl.workspace import Workspace

#: Frames of successive episodes, row by row; each row has an episode of at least four, and all have as many in sum.
LENGTHS = ((5, 3, 4), (3, 6, 3), (7, 2, 3), (2, 4, 6))
STEPS = sum(LENGTHS[0])


@dataclass(frozen=True)
class Episodes:
    """What environments write at successive steps, with auto-reset."""

    #: By name, `[T, B, ...]`.
    values: dict[str, Tensor]
    #: `[T, B]`: the place of each frame in its episode, and whether it is the last one there.
    timestep: Tensor
    terminated: Tensor
    truncated: Tensor

    @property
    def done(self) -> Tensor:
        """Whether a frame is the last of its episode, `[T, B]`."""
        return self.terminated | self.truncated

    @property
    def begins(self) -> Tensor:
        """Whether a frame is the first one after another episode, `[T, B]`."""
        return (self.timestep == 0) & (torch.arange(len(self.timestep)) > 0).unsqueeze(-1)

    def write(self, workspace: Workspace, t: int) -> None:
        """Write the frame of step `t`."""
        for name, value in self.values.items():
            workspace.set(name, t, value[t].clone())


def made_up(environment: Any, n_rows: int, seed: int) -> Episodes:
    """Return episodes of what an environment agent observes; they end at the same steps for every `seed`."""
    prefix = str(getattr(environment, "output_prefix", None) or getattr(environment, "output", "env/"))
    frames = {name: one[:1].expand(STEPS, n_rows, *one.shape[1:]) for name, one in frame(environment).items()}
    generator = torch.Generator().manual_seed(seed)
    spaces = {name: leaf for name, (leaf, _) in space_leaves(environment.observation_space, "env_obs").items()}
    values = {prefix + name: _drawn(one, spaces.get(name), generator) for name, one in frames.items()}
    timestep, terminated, truncated = _ends(n_rows)
    values[prefix + "reward"] = values[prefix + "reward"] * (timestep > 0)
    values |= {prefix + "timestep": timestep, prefix + "done": terminated | truncated}
    values |= {prefix + "terminated": terminated, prefix + "truncated": truncated}
    return Episodes(values, timestep, terminated, truncated)


def _drawn(like: Tensor, space: gym.Space[Any] | None, generator: torch.Generator) -> Tensor:
    """Return random numbers, choices or pictures; what may be a mask stays as it is."""
    if like.is_floating_point():
        return torch.randn(like.shape, generator=generator, dtype=like.dtype)
    if isinstance(space, gym.spaces.Box) and like.ndim > 3:
        return torch.randint(int(space.low.min()), int(space.high.max()) + 1, like.shape, generator=generator).to(like)
    if isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete):
        counts = torch.as_tensor(space.n if isinstance(space, gym.spaces.Discrete) else space.nvec)
        first = torch.as_tensor(space.start)
        return (first + (torch.rand(like.shape, generator=generator) * counts).long()).to(like)
    return like.clone()


def _ends(n_rows: int) -> tuple[Tensor, Tensor, Tensor]:
    timestep = torch.zeros(STEPS, n_rows, dtype=torch.int64)
    terminated, truncated = torch.zeros(2, STEPS, n_rows, dtype=torch.bool)
    for row, lengths in enumerate(islice(cycle(LENGTHS), n_rows)):
        start = 0
        for index, length in enumerate(lengths):
            timestep[start : start + length, row] = torch.arange(length)
            start += length
            (terminated if (row + index) % 2 else truncated)[start - 1, row] = True
    return timestep, terminated, truncated
