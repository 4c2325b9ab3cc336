"""Experience of on-policy algorithms: what was collected last, as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from workspace_rl.basics.arguments import checked
from workspace_rl.errors import UnknownVariableError, VariableMismatchError, did_you_mean
from workspace_rl.experience.experience import Experience
from workspace_rl.experience.fragment import Fragment
from workspace_rl.workspace import Workspace


class Rollout(Experience):
    """The last fragment, with the frame that it goes on from: T + 1 frames for T steps of all environments.

    The pair `(t, t+1)` is a transition where `env/done` is false at `t`; where it is true, frame `t+1` only carries a
    reset. Frames carry the action that was chosen with them, so the action of frame 0 is older than the others: the
    weights before the last update chose it, but for rollouts that begin with a reset of their own (the first one, and
    those after `end_episodes`). An update that needs the current weights' actions leaves the pair (0, 1) out, or
    weighs it by what its log-probability was. The last frame's action has no outcome yet; the next rollout begins with
    it. Nothing is kept in checkpoints, since a run goes on from them with new episodes.
    """

    kind, batch_kind = "rollout", "the rollout that was collected last"

    @checked(least={"n_steps": 1, "n_epochs": 1})
    def __init__(self, n_steps: int, variables: Sequence[str], *, n_epochs: int = 1) -> None:
        """Give each rollout of `n_steps` steps `n_epochs` times.

        Args:
            n_steps: steps in a fragment, T.
            variables: what batches have, besides `env/done`.
            n_epochs: updates on each rollout.
        """
        self.variables, self.window, self._n_epochs = list(variables), n_steps + 1, n_epochs
        self._rollout: Workspace | None = None
        self._last_frame: Workspace | None = None

    def put(self, fragment: Fragment) -> None:
        """Take the place of the rollout before.

        Args:
            fragment: T frames that follow the last ones, or T + 1 that begin by themselves.

        Raises:
            UnknownVariableError: a variable of the batches is missing.
            VariableMismatchError: there are more or fewer frames.
        """
        rollout = Workspace()
        for name in (*self.variables, "env/done"):
            if name not in fragment:
                hint = did_you_mean(name, fragment)
                raise UnknownVariableError(
                    f"collecting did not write {name!r}, which is learned from.{hint}", variable=name
                )
            frames = fragment.get_full(name)
            if self._last_frame is not None and len(frames) < self.window:
                frames = torch.cat((self._last_frame.get_full(name), frames))
            rollout.set_full(name, frames)
        n_frames = rollout.time_size()
        if n_frames != self.window:
            raise VariableMismatchError(
                f"a rollout of {self.window - 1} steps has {self.window} frames, the first one from the rollout before "
                f"or brought by the fragment; {n_frames} found. Collect n_steps={self.window - 1} steps at a time."
            )
        self._rollout, self._last_frame = rollout, rollout.subtime(self.window - 1)

    def batches(self) -> Iterator[Workspace]:
        """Yield the rollout, `[n_steps + 1, B, ...]`, once for each epoch."""
        if self._rollout is not None:
            for _ in range(self._n_epochs):
                yield Workspace(self._rollout)

    def end_episodes(self) -> None:
        """Forget the last frame: the next fragment begins with one of its own."""
        self._last_frame = None
