"""Experience around another one, which does what its subclass does not do otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor

from workspace_rl.experience.experience import Experience
from workspace_rl.experience.fragment import Fragment
from workspace_rl.workspace import Workspace


class ExperienceWrapper(Experience):
    """Hands everything on to an `inner` experience; a subclass changes what it gets, or what it gives.

        class MyAlgorithm(SAC):
            def make_experience(self):
                return MyExperience(super().make_experience())

    A subclass that keeps anything of its own between two fragments adds it to `describe`, and takes it in `restore`;
    one that gives batches more variables than they have names them in `added`.
    """

    def __init__(self, inner: Experience) -> None:
        """Wrap `inner`."""
        self.inner = inner
        self.kind, self.batch_kind = inner.kind, inner.batch_kind
        self.variables, self.window, self.added = inner.variables, inner.window, inner.added
        self.state_variables = inner.state_variables
        self.limiter = inner.limiter

    def put(self, fragment: Fragment) -> None:
        """Hand a fragment on."""
        self.inner.put(fragment)

    def ready(self, n_transitions: int) -> bool:
        """Return whether the inner one is."""
        return self.inner.ready(n_transitions)

    def batches(self) -> Iterator[Workspace]:
        """Yield the inner one's batches."""
        yield from self.inner.batches()

    def as_batch(self, frames: Workspace) -> Workspace:
        """Return what the inner one would make of frames."""
        return self.inner.as_batch(frames)

    def learned(self, errors: Tensor) -> None:
        """Hand on what an update tells of the last batch."""
        self.inner.learned(errors)

    def end_episodes(self) -> None:
        """Cut off the episodes that are running."""
        self.inner.end_episodes()

    def metrics(self, n_updates: int) -> dict[str, float]:
        """Return what the inner one has measured."""
        return self.inner.metrics(n_updates)

    def distributions(self, n_updates: int) -> dict[str, Tensor]:
        """Return the inner one's."""
        return self.inner.distributions(n_updates)

    @property
    def rows(self) -> range:
        """The rows that the inner one keeps."""
        return self.inner.rows

    def read_rows(self, start: int, stop: int) -> dict[str, Tensor]:
        """Return some of them."""
        return self.inner.read_rows(start, stop)

    def describe(self) -> dict[str, Any]:
        """Return the inner one's description."""
        return self.inner.describe()

    def restore(self, description: Mapping[str, Any], pieces: Iterable[tuple[int, Mapping[str, Tensor]]]) -> None:
        """Let the inner one take over what another one held."""
        self.inner.restore(description, pieces)
