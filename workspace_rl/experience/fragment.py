"""What a collector hands over: new frames, and where they come from."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from workspace_rl.errors import CompositionError
from workspace_rl.workspace import Workspace


class Episodes(NamedTuple):
    """Episodes that are over."""

    #: Undiscounted sums of rewards, `[n]` float64.
    returns: Tensor
    #: In steps, `[n]`.
    lengths: Tensor


class Effort(NamedTuple):
    """What collecting a fragment took, where it was collected. Nothing that is learned depends on it."""

    seconds: float
    #: Of a processor.
    processor_seconds: float


class Fragment(Workspace):
    """The frames that are new of one collector's environments, `[T, B, ...]`: a workspace that knows its origin.

    Consecutive fragments of a collector belong together: the first frame of one follows the last frame of the one
    before, unless it `begins_anew`. The first `n_repeated` frames are the last ones of the fragment before, with other
    actions. What is cut out of a fragment has no origin any more.
    """

    def __init__(
        self,
        frames: Workspace | None = None,
        *,
        n_transitions: int = -1,
        collector: int = 0,
        number: int | None = None,
        version: int = 0,
        begins_anew: bool = False,
        n_repeated: int = 0,
        episodes: Callable[[], Episodes] | None = None,
        state: Mapping[str, Tensor] | None = None,
        effort: Effort | None = None,
    ) -> None:
        """Say where `frames` come from, and take over their variables: what is written here stands there, too.

        Args:
            frames: the frames, `[T, B, ...]`.
            n_transitions: how many transitions lead to them, summed over environments; -1 where nobody has counted.
            collector: the number of the collector.
            number: how many fragments it has handed over before, by which one that comes twice is told from a new
                one, and one that was lost is missed; None where nobody has counted.
            version: the number of the update that made the weights which acted.
            begins_anew: whether the first frame follows nothing, as after a reset of all environments.
            n_repeated: how many frames have stood at the end of the fragment before.
            episodes: returns what is known of the episodes that ended in the frames, if somebody asks.
            state: the policy's state before the first frame, `[B, ...]` by name, for policies that have one.
            effort: what collecting it took, if somebody has measured that.
        """
        super().__init__()
        if frames is not None:
            self._variables = frames._variables
        self.n_transitions = n_transitions
        self.collector, self.number, self.version = collector, number, version
        self.begins_anew, self.n_repeated = begins_anew, n_repeated
        self._episodes = episodes
        self.state = dict(state or {})
        self.effort = effort

    @functools.cached_property
    def episodes(self) -> Episodes:
        """The episodes that ended in the frames."""
        return Episodes(torch.empty(0), torch.empty(0)) if self._episodes is None else self._episodes()

    @staticmethod
    def side_by_side(fragments: Iterable[Fragment]) -> Fragment:
        """Return the fragments of several environments, all of the same steps, as one whose batch is theirs in a row.

        Its number and its version are those of the first one; it begins anew where one of them does.

        Raises:
            CompositionError: there is none.
            VariableMismatchError: they do not hold the same variables, or these differ in more than B.
        """
        parts = list(fragments)
        if not parts:
            raise CompositionError("side_by_side joins the fragments of several environments; there is none.")
        return Fragment(
            Workspace.cat_batch(parts),
            n_transitions=sum(one.n_transitions for one in parts),
            collector=parts[0].collector,
            number=parts[0].number,
            version=parts[0].version,
            begins_anew=any(one.begins_anew for one in parts),
            n_repeated=max(one.n_repeated for one in parts),
            episodes=lambda: Episodes(*map(torch.cat, zip(*(one.episodes for one in parts), strict=True))),
            state={name: torch.cat([one.state[name] for one in parts]) for name in parts[0].state},
        )
