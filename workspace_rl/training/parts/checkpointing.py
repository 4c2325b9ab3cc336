"""What a checkpoint of a run holds, written and taken up again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from workspace_rl.basics.seeding import RandomState
from workspace_rl.errors import CheckpointError, WorkspaceRLError
from workspace_rl.experience.experience import Experience
from workspace_rl.learning.state.training_state import Part, check_classes, classes_of, load_state, read_state
from workspace_rl.runs.checkpoints import Checkpoint
from workspace_rl.runs.run import Run
from workspace_rl.training.parts.progress import Progress, next_multiple

#: Put before the names of the random generators' states.
_RANDOM = "random."


class TrainingState:
    """All that decides how training goes on, except the experience: a checkpoint's state, in both directions.

    These are modules and optimisers, random numbers, and where the run stands.
    """

    def __init__(
        self,
        parts: Callable[[], Mapping[str, Part]],
        random_state: RandomState,
        progress: Progress,
    ) -> None:
        """Read from, and write to, these; `parts` returns modules and optimisers by name."""
        self._parts, self._random_state, self._progress = parts, random_state, progress

    def read(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the state as plain data and as tensors."""
        parts = self._parts()
        tensors, plain = read_state(parts)
        tensors |= {_RANDOM + name: one.clone() for name, one in self._random_state.capture().items()}
        return {"loop": self._progress.describe(), "parts": plain, "classes": classes_of(parts)}, tensors

    def load(self, checkpoint: Checkpoint) -> None:
        """Put back what a checkpoint holds.

        Raises:
            CheckpointError: it is that of another run.
        """
        state, tensors, parts = checkpoint.state, checkpoint.tensors, self._parts()
        try:
            check_classes(parts, state.get("classes", {}))  # older ones have none
            load_state(parts, tensors, state["parts"])
            self._random_state.restore(
                {name.removeprefix(_RANDOM): one for name, one in tensors.items() if name.startswith(_RANDOM)}
            )
            self._progress.restore(state["loop"])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, WorkspaceRLError):
                raise
            raise CheckpointError(
                f"the checkpoint of step {checkpoint.step:,} is not one of this run: {type(error).__name__}: {error}"
            ) from error


class Checkpointing:
    """Writes a checkpoint every so many steps."""

    def __init__(
        self, run: Run, state: TrainingState, experience: Experience, progress: Progress, *, interval: int | None,
        conditions: Mapping[str, Any],
    ) -> None:  # fmt: skip
        """Write into the folder of `run`.

        Args:
            run: keeps the checkpoints.
            state: what is written, together with the experience.
            experience: whose rows are written piece by piece.
            progress: where the run stands.
            interval: steps between two checkpoints; None for no checkpoints.
            conditions: what the run was made by, as plain data.
        """
        self.run, self._state, self._experience, self._progress = run, state, experience, progress
        self._interval, self._conditions = interval, conditions

    @property
    def wanted(self) -> bool:
        """Whether there shall be checkpoints, and none of this step has been written."""
        return self._interval is not None and self.run.checkpoints.step != self._progress.steps

    def save(self) -> None:
        """Write a checkpoint; the running episodes end here, since environments cannot be saved."""
        self._experience.end_episodes()
        state, tensors = self._state.read()
        self.run.checkpoints.save(
            self._progress.steps, {**state, **self._conditions}, tensors, self._experience, self.run.files_to_copy()
        )

    def next(self) -> float:
        """Return the step of the next checkpoint."""
        return next_multiple(self._progress.steps, self._interval)
