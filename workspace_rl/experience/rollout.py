"""Experience of on-policy algorithms: what was collected last, as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from workspace_rl.basics.arguments import checked
from workspace_rl.errors import UnknownVariableError, VariableMismatchError, did_you_mean
from workspace_rl.experience.arrivals import Arrivals
from workspace_rl.experience.experience import Experience
from workspace_rl.experience.fragment import Fragment
from workspace_rl.workspace import Workspace


class Rollout(Experience):
    """The last fragment, with the frame that it goes on from: T + 1 frames for T steps of all environments.

    With several collectors it is the fragments of a round side by side, in the order of the collectors' numbers, each
    with the frame that it goes on from.

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
        # By collector.
        self._rollouts: dict[int, Workspace] = {}
        self._last_frames: dict[int, Workspace] = {}
        self._arrivals = Arrivals()

    def put(self, fragment: Fragment) -> None:
        """Take the place of the rollout before, beside those of other collectors, unless it has come before.

        Args:
            fragment: T frames that follow the last ones, or T + 1 that begin by themselves.

        Raises:
            UnknownVariableError: a variable of the batches is missing.
            VariableMismatchError: there are more or fewer frames.
        """
        if self._arrivals.came_before(fragment):
            return
        last_frame = self._last_frames.get(fragment.collector) if self._arrivals.follows(fragment) else None
        rollout = Workspace()
        for name in (*self.variables, "env/done"):
            if name not in fragment:
                hint = did_you_mean(name, fragment)
                raise UnknownVariableError(
                    f"collecting did not write {name!r}, which is learned from.{hint}", variable=name
                )
            frames = fragment.get_full(name)
            if last_frame is not None and len(frames) < self.window:
                frames = torch.cat((last_frame.get_full(name), frames))
            rollout.set_full(name, frames)
        n_frames = rollout.time_size()
        if n_frames != self.window:
            raise VariableMismatchError(
                f"a rollout of {self.window - 1} steps has {self.window} frames, the first one from the rollout before "
                f"or brought by the fragment; {n_frames} found. Collect n_steps={self.window - 1} steps at a time."
            )
        self._rollouts[fragment.collector] = rollout
        self._last_frames[fragment.collector] = rollout.subtime(self.window - 1)
        self._arrivals.note(fragment)

    def batches(self) -> Iterator[Workspace]:
        """Yield the rollout, `[n_steps + 1, B, ...]`, once for each epoch; nothing until the next fragment is put.

        Raises:
            VariableMismatchError: the fragments of several collectors hold variables that differ in more than B.
        """
        if not self._rollouts:
            return
        parts = [self._rollouts[collector] for collector in sorted(self._rollouts)]
        self._rollouts = {}
        rollout = Workspace.cat_batch(parts) if len(parts) > 1 else parts[0]
        for _ in range(self._n_epochs):
            yield Workspace(rollout)

    def end_episodes(self) -> None:
        """Forget the last frames: the next fragments begin with ones of their own."""
        self._last_frames = {}
