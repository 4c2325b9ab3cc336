"""Experience of on-policy algorithms: what was collected last, as a whole or in minibatches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from workspace_rl.agent import before
from workspace_rl.basics.arguments import checked
from workspace_rl.errors import ConfigError, UnknownVariableError, VariableMismatchError, did_you_mean
from workspace_rl.experience.arrivals import Arrivals
from workspace_rl.experience.experience import Experience
from workspace_rl.experience.fragment import Fragment
from workspace_rl.workspace import Workspace

#: Turns a rollout, `[T + 1, B, ...]`, into the rows that are learned from in an epoch, counted from 0, `[T, B, ...]`.
Prepare = Callable[[Workspace, int], Workspace]


class Rollout(Experience):
    """The last fragment, with the frame that it goes on from: T + 1 frames for T steps of all environments.

    With several collectors it is the fragments of a round side by side, in the order of the collectors' numbers.

    The pair `(t, t+1)` is a transition where `env/done` is false at `t`; where it is true, frame `t+1` only carries a
    reset. All actions are those of the weights that acted (see `Collector`, `choose_anew`); the last frame's has no
    outcome yet, and is chosen again where the next rollout begins. Nothing is kept in checkpoints, since a run goes on
    from them with new episodes.

    Of a policy with memory it also holds the state before frame 0, `before(name)` (`[1, B, ...]`), from which the whole
    rollout can be run again; minibatches are then whole environments, so that gradients go back through all of its
    steps, and no further (truncated backpropagation through time).
    """

    kind, batch_kind = "rollout", "the rollout that was collected last"

    @checked(least={"n_steps": 1, "n_epochs": 1, "batch_size": 1})
    def __init__(
        self,
        n_steps: int,
        variables: Sequence[str],
        *,
        n_epochs: int = 1,
        batch_size: int | None = None,
        prepare: Prepare | None = None,
        prepare_each_epoch: bool = False,
        state_variables: Sequence[str] = (),
    ) -> None:
        """Give each rollout of `n_steps` steps `n_epochs` times, as a whole or in minibatches.

        Args:
            n_steps: steps in a fragment, T.
            variables: what rollouts have, besides `env/done`.
            n_epochs: how often each rollout is learned from.
            batch_size: rows in a minibatch, which are drawn without replacement, in another order in each epoch, from
                torch's global generator; None for the rollout as a whole. With memory, all rows of some environments
                are drawn: a multiple of `n_steps`.
            prepare: `prepare(rollout, epoch)` is called for each rollout, `[n_steps + 1, B, ...]`, without gradients,
                and returns a workspace of the rows that are learned from, `[n_steps, B, ...]`, with what is written
                there besides, such as advantages. Unless given, batches are rollouts as they were collected.
            prepare_each_epoch: call `prepare` before each epoch, with what was learned until then.
            state_variables: those of the policy (see `Agent.state_variables`), which fragments bring
                (`Fragment.state`).

        Raises:
            ConfigError: an argument is impossible, there are minibatches of what nothing prepares, or they would cut
                environments apart that a memory goes through.
        """
        if batch_size is not None and prepare is None:
            raise ConfigError(
                "Rollout: batch_size: None expected without prepare, since minibatches are made of the rows that "
                f"prepare returns; {batch_size} found."
            )
        if state_variables and batch_size is not None and batch_size % n_steps:
            raise ConfigError(
                f"Rollout: batch_size: a multiple of the {n_steps} steps of a rollout (n_steps) expected, since the "
                f"policy has memory ({', '.join(map(repr, state_variables))}) and minibatches are whole environments; "
                f"{batch_size} found; {max(1, round(batch_size / n_steps)) * n_steps} is the nearest."
            )
        self.variables, self.window = list(variables), n_steps + 1
        self.state_variables = list(state_variables)
        self._n_epochs, self._batch_size, self._prepare = n_epochs, batch_size, prepare
        if batch_size is not None:
            whole = "whole environments of " if state_variables else ""
            self.batch_kind = f"minibatches of {whole}{self.batch_kind}"
        self._prepare_each_epoch = prepare_each_epoch
        # By collector.
        self._rollouts: dict[int, Workspace] = {}
        self._arrivals = Arrivals()

    def put(self, fragment: Fragment) -> None:
        """Take the place of the rollout before, beside those of other collectors, unless it has come before.

        Args:
            fragment: T + 1 frames, and the state before them.

        Raises:
            UnknownVariableError: a variable of the batches is missing, or a state.
            VariableMismatchError: there are more or fewer frames.
        """
        if self._arrivals.came_before(fragment):
            return
        rollout = Workspace()
        for name in (*self.variables, "env/done"):
            if name not in fragment:
                hint = did_you_mean(name, fragment)
                raise UnknownVariableError(
                    f"collecting did not write {name!r}, which is learned from.{hint}", variable=name
                )
            rollout.set_full(name, fragment.get_full(name))
        n_frames = rollout.time_size()
        if n_frames != self.window:
            raise VariableMismatchError(
                f"a rollout of {self.window - 1} steps has {self.window} frames, the first one that of the step "
                f"before, with an action of the weights that act; {n_frames} found. Collect n_steps={self.window - 1} "
                "steps at a time by a collector with choose_anew=True, as that of OnPolicyAlgorithm."
            )
        for name in self.state_variables:
            if name not in fragment.state:
                raise UnknownVariableError(
                    f"the fragment does not tell the state {name!r} before its first frame, from which the policy is "
                    f"run again. Fragment(..., state={{{name!r}: ...}}) does, as a Collector's.",
                    variable=name,
                )
            rollout.set_full(before(name), fragment.state[name].unsqueeze(0))
        self._rollouts[fragment.collector] = rollout
        self._arrivals.note(fragment)

    def batches(self) -> Iterator[Workspace]:
        """Yield the rollout, or its minibatches, in each epoch anew; nothing until the next fragment is put.

        Yields:
            `[n_steps + 1, B, ...]`, or what was prepared, `[n_steps, B, ...]`, or minibatches `[1, batch_size, ...]`;
            with memory `[n_steps, batch_size / n_steps, ...]`.

        Raises:
            VariableMismatchError: the fragments of several collectors hold variables that differ in more than B, or
                the rows cannot be divided into minibatches.
        """
        if not self._rollouts:
            return
        parts = [self._rollouts[collector] for collector in sorted(self._rollouts)]
        self._rollouts = {}
        rollout = Workspace.cat_batch(parts) if len(parts) > 1 else parts[0]
        for epoch in range(self._n_epochs):
            if not epoch or self._prepare_each_epoch:
                rows = self._rows(rollout, epoch)
            if self._batch_size is None:
                yield Workspace(rows)
            elif self.state_variables:
                yield from environments(rows, self._batch_size // (self.window - 1))
            else:
                yield from minibatches(rows, self._batch_size)

    def as_batch(self, frames: Workspace) -> Workspace:
        """Return what is learned from a rollout, all of its rows in one minibatch."""
        rows = self._rows(frames, 0)
        if self._batch_size is None or self.state_variables:
            return rows
        return next(minibatches(rows, rows.time_size() * rows.batch_size()))

    def _rows(self, rollout: Workspace, epoch: int) -> Workspace:
        if self._prepare is None:
            return rollout
        with torch.no_grad():
            rows = self._prepare(rollout, epoch)
        states = [before(name) for name in self.state_variables]
        missing = [name for name in states if name not in rows or rows.time_size(name) != 1]
        if missing:
            raise UnknownVariableError(
                f"the rows that prepare has returned lack {missing[0]!r}, so that the policy's memory would begin with "
                f"nothing: rows.set_full({missing[0]!r}, rollout.get_full({missing[0]!r})).",
                variable=missing[0],
            )
        return rows


def minibatches(rows: Workspace, batch_size: int) -> Iterator[Workspace]:
    """Yield all rows of a workspace, `[T, B, ...]`, in random order, as workspaces `[1, batch_size, ...]`.

    Raises:
        VariableMismatchError: their number cannot be divided by `batch_size`.
    """
    n_rows = rows.time_size() * rows.batch_size()
    if n_rows % batch_size:
        raise VariableMismatchError(
            f"minibatches of {batch_size} rows cannot be made of {rows.time_size()} x {rows.batch_size()} = {n_rows}: "
            "a multiple expected."
        )
    flat = {name: rows.get_full(name).flatten(0, 1) for name in rows}
    order = torch.randperm(n_rows)
    # Each variable is put in order at once; minibatches are slices of that.
    slices = {
        name: values.index_select(0, order.to(values.device)).unflatten(0, (-1, batch_size)).split(1)
        for name, values in flat.items()
    }
    for minibatch in zip(*slices.values(), strict=True):
        batch = Workspace()
        for name, value in zip(slices, minibatch, strict=True):
            batch.set_full(name, value)
        yield batch


def environments(rows: Workspace, n: int) -> Iterator[Workspace]:
    """Yield all environments of a workspace, `[T, B, ...]`, in random order, as workspaces `[T, n, ...]`.

    Raises:
        VariableMismatchError: their number cannot be divided by `n`.
    """
    n_envs = rows.batch_size()
    if n_envs % n:
        raise VariableMismatchError(
            f"minibatches of {n} whole environments cannot be made of {n_envs}: a multiple expected."
        )
    for chosen in torch.randperm(n_envs).split(n):
        yield rows.select_batch(chosen)
