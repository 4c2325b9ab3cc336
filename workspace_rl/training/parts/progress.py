"""Where a run stands: its counters, as they are logged and kept in checkpoints."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from workspace_rl.config import TrainingConfig
from workspace_rl.evaluation import Evaluation


@dataclass
class Due:
    """The steps at which the loop next logs, scores the policy, writes a checkpoint and keeps the policy."""

    log: int
    evaluation: int
    checkpoint: float
    policy: float = math.inf


@dataclass
class Progress:
    """Where a run stands. Steps are transitions, summed over environments."""

    due: Due
    #: Steps so far.
    steps: int = 0
    #: Updates so far.
    n_updates: int = 0
    #: The step at which the policy was scored last; -1 before.
    evaluated_at: int = -1
    #: The step of the best policy, and the score that chose it if one did; None before there is one.
    best: tuple[int, Evaluation | None] | None = None

    @classmethod
    def of(cls, parameters: TrainingConfig, *, log: int) -> Self:
        """Return how a run begins; `log` is when it first logs."""
        checkpoint, policy = (
            next_multiple(0, interval) for interval in (parameters.checkpoint_interval, parameters.save_policy_every)
        )
        return cls(Due(log, parameters.eval_interval, checkpoint, policy))

    @property
    def best_score(self) -> Evaluation | None:
        """The score that chose the best policy; None if there was none."""
        return self.best and self.best[1]

    def describe(self) -> dict[str, Any]:
        """Return everything as plain data."""
        best = self.best and (self.best[0], self.best[1] and dataclasses.asdict(self.best[1]))
        due = dataclasses.asdict(self.due)
        counters = {"steps": self.steps, "n_updates": self.n_updates, "evaluated_at": self.evaluated_at}
        return {**counters, "best": best, "due": due}

    def restore(self, described: Mapping[str, Any]) -> None:
        """Take over what another one's `describe` returned."""
        best = described["best"]
        self.steps, self.n_updates = int(described["steps"]), int(described["n_updates"])
        self.evaluated_at = int(described["evaluated_at"])
        self.best = best and (int(best[0]), best[1] and Evaluation(**best[1]))
        self.due = Due(**described["due"])


def next_multiple(steps: int, interval: int | None) -> float:
    """Return the first multiple of `interval` after `steps`; infinity if there is no interval."""
    return math.inf if interval is None else (steps // interval + 1) * interval
