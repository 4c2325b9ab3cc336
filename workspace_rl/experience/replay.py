"""Experience of off-policy algorithms: windows drawn at random from everything that the ring still holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workspace_rl.agent import before
from workspace_rl.errors import CompositionError, ReplayBufferError, UnknownVariableError
from workspace_rl.experience.arrivals import Arrivals
from workspace_rl.experience.block_limiter import BlockLimiter
from workspace_rl.experience.experience import Experience
from workspace_rl.experience.fragment import Fragment
from workspace_rl.experience.replay_buffer import ReplayBuffer, WeightsAge
from workspace_rl.workspace import Workspace


@dataclass(frozen=True)
class Importance:
    """How far weights of losses make up for windows that were not drawn uniformly: beta, which rises along a line to 1.

    (Schaul et al. 2016, "Prioritized Experience Replay", arXiv:1511.05952, section 3.4.)

    Attributes:
        exponent: beta at the beginning.
        n_transitions: after so many it is 1.
    """

    exponent: float
    n_transitions: int

    def after(self, n_transitions: int) -> float:
        """Return beta after so many transitions in all."""
        return self.exponent + (1 - self.exponent) * min(1.0, n_transitions / self.n_transitions)


class Replay(Experience):
    """A replay buffer, from which so many batches are drawn for each fragment.

    Fragments of several collectors stand one after the other in its ring, and are never joined to each other. One that
    comes twice, by the numbers of its collector and its own, is put once; after one that was lost nothing is joined.
    """

    kind, batch_kind = "replay buffer", "a replayed batch of transitions"

    def __init__(
        self,
        buffer: ReplayBuffer,
        *,
        batch_size: int,
        window: int = 2,
        learning_starts: int = 0,
        updates_per_fragment: float = 1.0,
        limiter: BlockLimiter | None = None,
        state_variables: Sequence[str] = (),
        importance: Importance | None = None,
    ) -> None:
        """Draw from `buffer`.

        Args:
            buffer: where fragments are put.
            batch_size: windows in a batch.
            window: steps of a window; 2 is a transition.
            learning_starts: transitions before the first batch.
            updates_per_fragment: batches for each fragment; 0.5 is one after every other fragment.
            limiter: says when a batch may be drawn, instead of `learning_starts` and `updates_per_fragment`; the latter
                is then about how many are drawn until what was collected meanwhile is put.
            state_variables: those of the policy's memory, of which the buffer stores what they were before each frame,
                `before(name)`. Fragments bring them, and what they were before a fragment (`Fragment.state`).
            importance: of windows that the buffer draws by priorities; unless given, weights make up for all of it.

        Raises:
            ReplayBufferError: the buffer was made for several sources and shorter windows.
        """
        if buffer.n_sources > 1 and window > buffer.longest_window:
            raise ReplayBufferError(
                f"windows of {window} frames are to be drawn from a replay buffer of {buffer.n_sources} sources, which "
                f"was made for {buffer.longest_window} at most: ReplayBuffer(..., longest_window={window}) is needed."
            )
        self.limiter = limiter
        self.buffer, self.state_variables = buffer, list(state_variables)
        told = [before(name) for name in state_variables]
        self.variables = [name for name in buffer.variables if name not in told] + self.state_variables
        self.batch_size, self.window = batch_size, window
        self._learning_starts, self._updates_per_fragment = learning_starts, updates_per_fragment
        #: Batches that are due.
        self._owed = 0.0
        self._arrivals = Arrivals()
        self._weights_age = WeightsAge() if buffer.keeps_versions else None
        self._importance, self._told = importance, True
        if buffer.prioritized is not None:
            self.added = {"weight": ((), torch.float32)}

    def put(self, fragment: Fragment) -> None:
        """Append the fragment to the ring, unless it has come before."""
        if self._arrivals.came_before(fragment):
            return
        self.buffer.put(
            self._with_states_before(fragment) if self.state_variables else fragment,
            continues=self._arrivals.follows(fragment),
            source=fragment.collector,
            version=fragment.version,
        )
        self._arrivals.note(fragment)
        if self.limiter is not None:
            self.limiter.stocked = self._holds_a_window

    def _with_states_before(self, fragment: Fragment) -> Workspace:
        """Return the frames of a fragment with what the policy's states were before each of them.

        Raises:
            UnknownVariableError: the fragment does not tell one of them.
        """
        frames = Workspace(fragment)
        for name in self.state_variables:
            if name not in fragment or not (fragment.begins_anew or name in fragment.state):
                raise UnknownVariableError(
                    f"the fragment does not tell the state {name!r} {'of' if name in fragment.state else 'before'} its "
                    "frames, from which sequences are begun. The policy writes it, and a Collector brings it as "
                    f"Fragment(..., state={{{name!r}: ...}}).",
                    variable=name,
                )
            after = fragment.get_full(name)
            first = fragment.state[name] if name in fragment.state else torch.zeros_like(after[0])
            frames.set_full(before(name), torch.cat((first.unsqueeze(0), after[:-1])))
        return frames

    def as_batch(self, frames: Workspace) -> Workspace:
        """Return frames without the states at each of them, of which a batch holds what they were before the first."""
        batch = Workspace(frames)
        for name in self.state_variables:
            batch.variables.pop(name, None)
        return batch

    @property
    def _holds_a_window(self) -> bool:
        return self.buffer.n_windows(self.window) > 0

    def ready(self, n_transitions: int) -> bool:
        """Return whether learning has started, and the ring holds a window."""
        if self._importance is not None and self.buffer.prioritized is not None:
            self.buffer.prioritized.importance_exponent = self._importance.after(n_transitions)
        if self.limiter is not None:
            return self.limiter.may_draw()
        return n_transitions >= self._learning_starts and self._holds_a_window

    def batches(self) -> Iterator[Workspace]:
        """Yield the batches that are due for a fragment, `[window, batch_size, ...]`."""
        if self.limiter is not None:
            yield from self._batches_within_limits(self.limiter)
            return
        self._owed += self._updates_per_fragment
        while self._owed >= 1:
            yield self._draw()
            self._owed -= 1

    def _batches_within_limits(self, limiter: BlockLimiter) -> Iterator[Workspace]:
        for _ in range(max(1, math.ceil(self._updates_per_fragment))):
            if not limiter.may_draw():
                return
            yield self._draw()
            limiter.draw()

    def _draw(self) -> Workspace:
        if not self._told:
            raise CompositionError(
                "the update has told nothing of the last batch, but windows are drawn by what it tells: "
                "return {**metrics, **self.row_errors(errors, workspace)} with the errors of the batch's rows."
            )
        self._told = self.buffer.prioritized is None
        batch = self.buffer.sample(self.batch_size, self.window)
        if self._weights_age is not None:
            self._weights_age.note(self.buffer.drawn_versions)
        return batch

    def learned(self, errors: Tensor) -> None:
        """Give the windows of the last batch the priorities of their errors.

        Raises:
            ReplayBufferError: there are more or fewer, or the buffer draws uniformly.
        """
        if self.buffer.prioritized is None:
            raise ReplayBufferError(
                "the update tells what each window was off, but the buffer draws uniformly: make it by "
                "ReplayBuffer(..., priorities=Priorities())."
            )
        self.buffer.prioritized.learned(errors)
        self._told = True

    def end_episodes(self) -> None:
        """Cut off the episodes that are running, of all collectors."""
        self.buffer.end_episodes()

    def metrics(self, n_updates: int) -> dict[str, float]:
        """Return mean and maximum of the weights' age in batches since the last call, where the ring keeps versions.

        The age is how many updates were done before the update on a batch, less those that had made the weights which
        chose the actions of its windows' first frames. Where windows are drawn by priorities, also beta as it is now.
        """
        ages = {} if self._weights_age is None else self._weights_age.metrics(n_updates)
        by = self.buffer.prioritized
        return ages if by is None else {**ages, "priorities/importance_exponent": by.importance_exponent}

    def distributions(self, n_updates: int) -> dict[str, Tensor]:
        """Return the weights' ages in the last batch, where the ring keeps versions."""
        return {} if self._weights_age is None else {"weights_age": self._weights_age.last(n_updates)}

    @property
    def rows(self) -> range:
        """The rows of the ring."""
        return self.buffer.rows

    def read_rows(self, start: int, stop: int) -> dict[str, Tensor]:
        """Return some rows of the ring."""
        return self.buffer.read_rows(start, stop)

    def describe(self) -> dict[str, Any]:
        """Return the ring's description, how many batches are due, and the limiter's counters."""
        limited = {} if self.limiter is None else {"limiter": self.limiter.describe()}
        return {**self.buffer.describe(), "owed": self._owed, **limited}

    def restore(self, description: Mapping[str, Any], pieces: Iterable[tuple[int, Mapping[str, Tensor]]]) -> None:
        """Take over what another one held."""
        self._owed = float(description.get("owed", 0))
        self.buffer.restore(description, pieces)
        if self.limiter is not None:
            stored, stocked = self.buffer.n_windows(), self._holds_a_window
            self.limiter.restore(description.get("limiter"), stored=stored, stocked=stocked)
