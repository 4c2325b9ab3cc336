"""Goals and rewards of windows, as if what was achieved later had been the goal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from workspace_rl.basics.arguments import checked
from workspace_rl.errors import ReplayBufferError
from workspace_rl.experience.hindsight.episodes import Episodes
from workspace_rl.experience.hindsight.lines import Ints
from workspace_rl.workspace import Workspace

#: Of which frames of its episode a goal is taken.
STRATEGIES = ("future", "final", "episode")


class Rewards(Protocol):
    """What an environment says of goals and of what was achieved, without a step."""

    def rewards(self, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
        """Return the rewards `[N]` for having achieved this (`[N, ...]`) where that (`[N, ...]`) was the goal."""

    def terminated(self, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray | None:
        """Return whether that terminates an episode, `[N]` bool; None where goals have nothing to do with it."""


class Hindsight:
    """Hindsight experience replay (Andrychowicz et al. 2017, arXiv:1707.01495, section 4.1), where windows are read.

    Each window is relabelled with the probability k / (k + 1), so that k are for each one that stays as it was. The
    goal of all of its frames becomes what was achieved at another frame of its first frame's episode:

    - "future": at a later one, uniformly drawn among all up to the episode's end, or to the newest frame that there is.
    - "final": at the last of these.
    - "episode": at any frame of the episode that is still stored.

    Rewards are computed anew by that goal, and whether the episode terminates where goals decide it; it ends then, in
    this window, too. Where it has ended by its own goal, and would not by the new one, the window ends as by a limit of
    time: there is nothing after it. All else stays, and what is stored does.
    """

    @checked(error=ReplayBufferError, least={"n_goals": 1}, unless=("rewards",))
    def __init__(
        self,
        rewards: Rewards,
        *,
        strategy: str = "future",
        n_goals: int = 4,
        observation: str = "env/env_obs",
        reward_variable: str = "env/reward",
        terminated_variable: str = "env/terminated",
        done_variable: str = "env/done",
    ) -> None:
        """Relabel windows.

        Args:
            rewards: computes rewards by goals.
            strategy: of which frames goals are taken, one of `STRATEGIES`.
            n_goals: k.
            observation: the variable's name under which `achieved_goal` and `desired_goal` stand.
            reward_variable: `[B]` float.
            terminated_variable: `[B]` bool.
            done_variable: `[B]` bool.

        Raises:
            ReplayBufferError: there is no such strategy, or an argument is of another kind.
        """
        if strategy not in STRATEGIES:
            raise ReplayBufferError(f"strategy: one of {', '.join(STRATEGIES)} expected, {strategy!r} found.")
        self._rewards, self.strategy, self.share = rewards, strategy, n_goals / (n_goals + 1)
        self._achieved, self._desired = f"{observation}/achieved_goal", f"{observation}/desired_goal"
        self._reward, self._terminated, self._done = reward_variable, terminated_variable, done_variable

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that must be stored."""
        return self._achieved, self._desired, self._reward, self._terminated

    def relabel(self, windows: Workspace, index: Tensor, stored: Mapping[str, Tensor], episodes: Episodes) -> Tensor:
        """Relabel some of the windows, `[T, B, ...]`, in place; return which, `[N]`.

        Args:
            windows: whose tensors are nobody else's.
            index: where their first frames lie in the ring, `[B]`.
            stored: all that the ring stores, by name `[frames, ...]`.
            episodes: knows which frames of the ring are of one episode.
        """
        desired = windows.get_full(self._desired)
        if len(desired) < 2:  # a single frame is no transition, and may be its episode's last
            return torch.empty(0, dtype=torch.int64)
        uniform = torch.rand(2, len(index), dtype=torch.float64)
        chosen = (uniform[0] < self.share).nonzero().squeeze(-1)
        first: Ints = index.cpu()[chosen].numpy()
        where = episodes.draw(first, uniform[1][chosen].numpy(), self.strategy)
        columns = chosen.to(index.device)
        goal = stored[self._achieved].index_select(0, torch.from_numpy(where).to(index.device))
        desired.index_copy_(1, columns, goal.expand(len(desired), *goal.shape))
        if len(columns):
            self._reward_anew(windows, columns, goal)
        return columns

    def _reward_anew(self, windows: Workspace, columns: Tensor, goal: Tensor) -> None:
        reached = windows.get_full(self._achieved)[1:].index_select(1, columns)
        size = reached.shape[:2]
        pairs = [one.flatten(0, 1).numpy(force=True) for one in (reached, goal.expand_as(reached))]
        _write(windows.get_full(self._reward)[1:], columns, torch.from_numpy(self._rewards.rewards(*pairs)).view(size))
        computed = self._rewards.terminated(*pairs)
        if computed is not None:
            terminated = torch.from_numpy(computed).view(size).to(columns.device)
            _write(windows.get_full(self._terminated)[1:], columns, terminated)
            done = windows.get_full(self._done)[1:]
            _write(done, columns, done.index_select(1, columns) | terminated)


def _write(rows: Tensor, columns: Tensor, value: Tensor) -> None:
    rows.index_copy_(1, columns, value.to(rows.device, rows.dtype))
