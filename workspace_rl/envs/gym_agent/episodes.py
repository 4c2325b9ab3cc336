"""The running episodes: their returns, their steps, and who may go on with them."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from workspace_rl.envs.contract.shared_environments import Hold

Frame = dict[str, Tensor]


class Episodes(Hold):
    """The running episodes of all environments; a plain object, since a module's attributes are slow to set."""

    __slots__ = ("cumulated_reward", "done", "frame", "n_steps", "seeds", "timestep")

    def __init__(self, n_envs: int, seeds: list[int]) -> None:
        """Begin episodes with these seeds."""
        super().__init__()
        self.seeds = seeds
        #: Steps since the reset, resets after episodes included.
        self.n_steps = 0
        #: The returns so far, `[B]`.
        self.cumulated_reward = np.zeros(n_envs)
        #: The steps so far, `[B]`.
        self.timestep = np.zeros(n_envs, dtype=np.int64)
        #: Whether the last step ended them, `[B]`.
        self.done = np.zeros(n_envs, dtype=bool)
        #: What was written last.
        self.frame: Frame = {}

    def moment(self, index: int | None, step: int | None, start: str = "reset") -> str:
        """Return the place in time of what environment `index` does at `step` of its episode, 0 being its `start`."""
        seed = self.seeds if index is None else self.seeds[index]
        episode = "" if step is None else f"at step {step} of its episode, " if step else f"at the {start}, "
        return f"{episode}step {self.n_steps} since it was reset with seed {seed}"
