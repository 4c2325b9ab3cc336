"""Experience of on-policy algorithms: what was collected last, as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from workspace_rl.errors import UnknownVariableError
from workspace_rl.experience.experience import Experience
from workspace_rl.experience.fragment import Fragment
from workspace_rl.workspace import Workspace


class Rollout(Experience):
    """The last fragment, with the frame that it goes on from: T + 1 frames for T steps of all environments.

    Frames that only carry a reset are among them: the pair `(t, t+1)` is no transition where `env/done` is true at `t`.
    """

    def __init__(self, n_steps: int, variables: list[str] | tuple[str, ...], *, n_epochs: int = 1) -> None:
        """Give each rollout of `n_steps` steps `n_epochs` times.

        Args:
            n_steps: steps in a fragment.
            variables: what batches have, besides `env/done`.
            n_epochs: updates on each rollout.
        """
        self.variables, self.window, self._n_epochs = list(variables), n_steps + 1, n_epochs
        self._rollout: Workspace | None = None
        self._last_frame: Workspace | None = None

    def put(self, fragment: Fragment) -> None:
        """Take the place of the rollout before.

        Raises:
            UnknownVariableError: a variable of the batches is missing.
        """
        rollout = Workspace()
        for name in (*self.variables, "env/done"):
            if name not in fragment:
                raise UnknownVariableError(f"collecting did not write {name!r}, which is learned from.", variable=name)
            frames = fragment.get_full(name)
            if self._last_frame is not None:
                frames = torch.cat((self._last_frame.get_full(name), frames))
            rollout.set_full(name, frames)
        self._rollout = rollout
        self._last_frame = rollout.subtime(rollout.time_size() - 1)

    def batches(self) -> Iterator[Workspace]:
        """Yield the rollout, `[n_steps + 1, B, ...]`, once for each epoch."""
        if self._rollout is not None:
            for _ in range(self._n_epochs):
                yield Workspace(self._rollout)

    def end_episodes(self) -> None:
        """Forget the last frame: the next fragment begins with one of its own."""
        self._last_frame = None
