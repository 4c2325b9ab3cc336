"""What a collector hands over: new frames, and where they come from."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from workspace_rl.workspace import Workspace


class Episodes(NamedTuple):
    """Episodes that are over."""

    #: Undiscounted sums of rewards, `[n]` float64.
    returns: Tensor
    #: In steps, `[n]`.
    lengths: Tensor


class Fragment(Workspace):
    """The frames that are new of one collector's environments, `[T, B, ...]`: a workspace that knows its origin.

    Consecutive fragments of a collector belong together: the first frame of one follows the last frame of the one
    before, unless the environments began anew in between. What is cut out of a fragment has no origin any more.
    """

    def __init__(
        self,
        frames: Workspace | None = None,
        *,
        n_transitions: int = 0,
        collector: int = 0,
        number: int = 0,
        version: int = 0,
        episodes: Callable[[], Episodes] | None = None,
        state: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Say where `frames` come from, and take over their variables: what is written here stands there, too.

        Args:
            frames: the frames, `[T, B, ...]`.
            n_transitions: how many transitions lead to them, summed over environments.
            collector: the number of the collector.
            number: how many fragments it has handed over before.
            version: the number of the update that made the weights which acted.
            episodes: returns what is known of the episodes that ended in the frames, if somebody asks.
            state: the policy's state before the first frame, for policies that have one.
        """
        super().__init__()
        if frames is not None:
            self._variables = frames._variables
        self.n_transitions = n_transitions
        self.collector, self.number, self.version = collector, number, version
        self._episodes = episodes
        self.state = dict(state or {})

    @functools.cached_property
    def episodes(self) -> Episodes:
        """The episodes that ended in the frames."""
        return Episodes(torch.empty(0), torch.empty(0)) if self._episodes is None else self._episodes()
