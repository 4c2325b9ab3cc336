"""What is said of numbers that are not finite, and what can be done about them."""

from __future__ import annotations

from workspace_rl.errors import DivergedError
from workspace_rl.learning.finite_watch import save_batch
from workspace_rl.runs.run import Run
from workspace_rl.workspace import Workspace


def explain(error: DivergedError, steps: int, run: Run) -> None:
    """Add to an error at which step of which run it happened, and the ways out; keep the batch beside the run."""
    text = " ".join(map(str, error.args))
    if isinstance(error.batch, Workspace):
        path = run.kept_batch(error.update)
        save_batch(error.batch, path)
        text += f" Its batch is kept in {path}."
    known = run.checkpoints.steps()
    last = f"The last good checkpoint is that of step {known[-1]:,}." if known else "There is no checkpoint yet."
    error.where = f"step {steps:,}"
    error.args = (
        f"{text} {last} Resuming would lead here again: train with a lower learning rate, a limit to the gradient "
        "(algorithm.max_grad_norm), or rewards and observations of a smaller scale.",
    )
