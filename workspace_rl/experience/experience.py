"""What fragments go into and batches come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from workspace_rl.errors import CompositionError
from workspace_rl.experience.block_limiter import BlockLimiter
from workspace_rl.experience.fragment import Fragment
from workspace_rl.workspace import Workspace


class Experience(ABC):
    """Takes the fragments that collectors hand over, and gives the batches that are to be learned from.

    A subclass says what it keeps (`put`) and when it gives which batches (`ready`, `batches`). One that keeps anything
    between two fragments writes it to checkpoints (`rows`, `read_rows`, `describe`, `restore`). Making one is cheap: it
    is also done to ask what batches look like.
    """

    #: What it is called, and what its batches are, in diagrams and messages.
    kind: str = "experience"
    batch_kind: str = "a batch of experience"
    #: The variables of fragments that its batches have, besides the one that ends episodes.
    variables: Sequence[str]
    #: The state variables of the policy whose values before a fragment's first frame (`Fragment.state`) its batches
    #: hold, as `before(name)`.
    state_variables: Sequence[str] = ()
    #: Steps of a batch, T.
    window: int
    #: The variables that its batches have and fragments have not, `{"weight": ((), torch.float32)}`: each with the
    #: shape of what stands at one step for one sample, and the dtype.
    added: Mapping[str, tuple[Sequence[int], torch.dtype]] = {}

    #: What holds collecting and learning together in free mode; None where it does nothing of the kind.
    limiter: BlockLimiter | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Create the object, if its class is complete.

        Raises:
            CompositionError: it is not.
        """
        missing = sorted(cls.__abstractmethods__)
        if missing:
            raise CompositionError(
                f"{cls.__name__} does not implement {' and '.join(missing)}: an experience takes fragments in "
                "put(self, fragment), and yields what is learned from in batches(self)."
            )
        return super().__new__(cls)

    @abstractmethod
    def put(self, fragment: Fragment) -> None:
        """Take a fragment."""

    def ready(self, n_transitions: int) -> bool:
        """Return whether there is something to learn from, after `n_transitions` in all."""
        return True

    @abstractmethod
    def batches(self) -> Iterator[Workspace]:
        """Yield the batches that are due since the last time, `[window, batch, ...]`, one for each update.

        The loop calls it once for each fragment that was put since: after a round of several collectors' fragments, as
        often as there are collectors.
        """

    def as_batch(self, frames: Workspace) -> Workspace:
        """Return what `batches` would make of frames, `[window, B, ...]`: to know what batches look like."""
        return frames

    def learned(self, errors: Tensor) -> None:  # noqa: B027 - there may be nothing to do
        """Take what an update tells of the batch that was given last: what each of its windows was off, `[batch]`."""

    def end_episodes(self) -> None:  # noqa: B027 - there may be nothing to do
        """Cut off the episodes that are running, of all collectors: their next fragments follow nothing."""

    # ---- what is measured -----------------------------------------------------------------------------------------

    def metrics(self, n_updates: int) -> dict[str, float]:
        """Return what was measured since the last call, to be logged by these names.

        Args:
            n_updates: how many updates have been done, one on each batch.
        """
        return {}

    def distributions(self, n_updates: int) -> dict[str, Tensor]:
        """Return what is to be shown as histograms, `[n]` by name, as it is now."""
        return {}

    # ---- checkpoints ----------------------------------------------------------------------------------------------

    @property
    def rows(self) -> range:
        """The frames that are kept, counted from the first one ever put: what checkpoints save piece by piece."""
        return range(0)

    def read_rows(self, start: int, stop: int) -> dict[str, Tensor]:
        """Return some of the kept `rows`, `[T, B, ...]` on the CPU."""
        return {}

    def describe(self) -> dict[str, Any]:
        """Return what `restore` needs besides the rows: by name plain data, or tensors on the CPU."""
        return {}

    def restore(self, description: Mapping[str, Any], pieces: Iterable[tuple[int, Mapping[str, Tensor]]]) -> None:  # noqa: B027
        """Take over what another one of the same kind held.

        Args:
            description: what the other one's `describe` returned.
            pieces: its `rows` in order, in pieces `(start, read_rows(start, stop))`.
        """
