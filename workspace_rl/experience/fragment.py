"""What a collector hands over: new frames, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from workspace_rl.workspace import Workspace

_NONE = torch.empty(0)


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
        episode_returns: Tensor | None = None,
        episode_lengths: Tensor | None = None,
        state: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Say where `frames` come from, and take over their variables: what is written here stands there, too.

        Args:
            frames: the frames, `[T, B, ...]`.
            n_transitions: how many transitions lead to them, summed over environments.
            collector: the number of the collector.
            number: how many fragments it has handed over before.
            version: the number of the update that made the weights which acted.
            episode_returns: those of the episodes that ended in the frames, `[n]` float64.
            episode_lengths: their lengths in steps, `[n]`.
            state: the policy's state before the first frame, for policies that have one.
        """
        super().__init__()
        if frames is not None:
            self._variables = frames._variables
        self.n_transitions = n_transitions
        self.collector, self.number, self.version = collector, number, version
        self.episode_returns = _NONE if episode_returns is None else episode_returns
        self.episode_lengths = _NONE if episode_lengths is None else episode_lengths
        self.state = dict(state or {})
