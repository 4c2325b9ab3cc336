"""Experience of off-policy algorithms: windows drawn at random from everything that the ring still holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor

from workspace_rl.experience.experience import Experience
from workspace_rl.experience.fragment import Fragment
from workspace_rl.experience.replay_buffer import ReplayBuffer
from workspace_rl.workspace import Workspace


class Replay(Experience):
    """A replay buffer, from which so many batches are drawn for each fragment."""

    kind, batch_kind = "replay buffer", "a replayed batch of transitions"

    def __init__(
        self,
        buffer: ReplayBuffer,
        *,
        batch_size: int,
        window: int = 2,
        learning_starts: int = 0,
        updates_per_fragment: float = 1.0,
    ) -> None:
        """Draw from `buffer`.

        Args:
            buffer: where fragments are put.
            batch_size: windows in a batch.
            window: steps of a window; 2 is a transition.
            learning_starts: transitions before the first batch.
            updates_per_fragment: batches for each fragment; 0.5 is one after every other fragment.
        """
        self.buffer, self.variables = buffer, buffer.variables
        self.batch_size, self.window = batch_size, window
        self._learning_starts, self._updates_per_fragment = learning_starts, updates_per_fragment
        #: Batches that are due.
        self._owed = 0.0

    def put(self, fragment: Fragment) -> None:
        """Append the fragment to the ring."""
        self.buffer.put(fragment)

    def ready(self, n_transitions: int) -> bool:
        """Return whether learning has started, and the ring holds a window."""
        return n_transitions >= self._learning_starts and self.buffer.n_windows(self.window) > 0

    def batches(self) -> Iterator[Workspace]:
        """Yield the batches that are due for a fragment, `[window, batch_size, ...]`."""
        self._owed += self._updates_per_fragment
        while self._owed >= 1:
            yield self.buffer.sample(self.batch_size, self.window)
            self._owed -= 1

    def end_episodes(self) -> None:
        """Cut off the episodes that are running."""
        self.buffer.end_episodes()

    @property
    def rows(self) -> range:
        """The rows of the ring."""
        return self.buffer.rows

    def read_rows(self, start: int, stop: int) -> dict[str, Tensor]:
        """Return some rows of the ring."""
        return self.buffer.read_rows(start, stop)

    def describe(self) -> dict[str, Any]:
        """Return the ring's description, and how many batches are due."""
        return {**self.buffer.describe(), "owed": self._owed}

    def restore(self, description: Mapping[str, Any], pieces: Iterable[tuple[int, Mapping[str, Tensor]]]) -> None:
        """Take over what another one held."""
        self._owed = float(description.get("owed", 0))
        self.buffer.restore(description, pieces)
