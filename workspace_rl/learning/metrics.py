"""What an update measures: scalar tensors by name."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from workspace_rl.errors import CompositionError

#: What the verdict on an update, and what it rests on, are called among its metrics.
FINITE, STEPS = "workspace_rl/finite", "workspace_rl/steps"
#: What an update returns besides metrics where windows are drawn by priorities: what each window of its batch was off,
#: `[batch]` (see `OffPolicyAlgorithm.row_errors`).
ROW_ERRORS = "row_errors"
#: Metrics that the loop itself writes, and what it adds to an update's.
OF_THE_LOOP = frozenset(
    [f"eval/{one}" for one in ("return_mean", "return_std", "length_mean")]
    + [f"train/{one}" for one in ("episode_return", "episode_length")]
    + ["time/steps_per_second", FINITE, STEPS]
)


def require_metrics(metrics: Any, algorithm: str) -> None:
    """Look whether an update has returned metrics.

    Raises:
        CompositionError: it has not; the message names what is wrong with which.
    """
    if not isinstance(metrics, dict):
        raise CompositionError(
            f"{algorithm}.update returns {'None' if metrics is None else type(metrics).__name__}; a dictionary of "
            "tensors by name is expected, {} if there is nothing to log: return {'loss/critic': loss.detach()}."
        )
    for name, value in metrics.items():
        if not isinstance(name, str):
            raise CompositionError(f"{algorithm}.update returns a metric called {name!r}; a text is expected.")
        if not isinstance(value, Tensor):
            raise CompositionError(
                f"{algorithm}.update returns {type(value).__name__} as {name!r}; a tensor is expected, so that no "
                "device is waited for: loss.detach(), not loss.item(); torch.tensor(x) for other numbers."
            )
        if value.is_complex():
            raise CompositionError(
                f"{algorithm}.update returns complex numbers as {name!r}; real ones can be logged: value.abs(), say."
            )
        if name in OF_THE_LOOP:
            raise CompositionError(
                f"{algorithm}.update returns a metric called {name!r}, which the loop writes itself: the two would be "
                "taken for one. Give it another name."
            )
