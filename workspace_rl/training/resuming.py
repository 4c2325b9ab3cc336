"""Runs that go on: what may be taken up, and what is said of it."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import torch

from workspace_rl.config import RunConfig
from workspace_rl.errors import CheckpointError, RunFolderError
from workspace_rl.ranks import Alone
from workspace_rl.runs.checkpoints import Checkpoint
from workspace_rl.runs.other_machines import this_machine, what_changed, what_changed_of_collecting
from workspace_rl.runs.run import Run

#: From here to the line of the user's program that calls `restore`.
_CALLERS = 4


def conditions(config: RunConfig, device: torch.device, ranks: Alone) -> dict[str, Any]:
    """Return what a run is made by, and what decides how its numbers are rounded: what checkpoints keep of it."""
    kept = {"config": dataclasses.asdict(config), "machine": this_machine(device)}
    return kept if ranks.size == 1 else {**kept, "ranks": {"size": ranks.size, "rank": ranks.rank}}


def rank_of(checkpoint: Checkpoint) -> tuple[int, int]:
    """Return of how many ranks, and of which one, a checkpoint is."""
    kept = checkpoint.state.get("ranks", {"size": 1, "rank": 0})
    return int(kept["size"]), int(kept["rank"])


def newest_checkpoint(
    run: Run, config: RunConfig, device: torch.device, interval: int | None, ranks: Alone
) -> Checkpoint | None:
    """Return the checkpoint that a run goes on from; None if it starts again, since it had not got to its first one.

    Of several ranks, each goes on from its own one of the same step. Ranks that are new go on from those of others.

    Warnings tell of checkpoints that are damaged, and of a machine or settings that are not those of the run.

    Raises:
        RunFolderError: the run keeps no checkpoints.
        ConfigError: its configuration is not that of the checkpoint.
        CheckpointError: all checkpoints are damaged, or gone.
    """
    if interval is None:
        raise RunFolderError(f"{run.path} keeps no checkpoints (algorithm.checkpoint_interval is null): train anew.")
    checkpoint = _newest_of_all(run, ranks)
    if checkpoint is None:
        _start_again(run, interval)
        return None
    for text in checkpoint.skipped:
        warnings.warn(f"{text} The run goes on from step {checkpoint.step:,}.", stacklevel=_CALLERS)
    run.check_same_course(checkpoint.state["config"])
    before, now = checkpoint.state, conditions(config, device, ranks)
    changed = what_changed(before["config"], now["config"], before.get("machine"), now["machine"])
    if changed:
        warnings.warn(
            f"{run.path} goes on from step {checkpoint.step:,} under other conditions ({'; '.join(changed)}). It "
            "learns the same, but rounds differently from here on: it will not be bit-identical to a run that was "
            "never stopped. matmul_precision=auto and compile=auto choose anew what suits this machine.",
            stacklevel=_CALLERS,
        )
    n_before, _ = rank_of(checkpoint)
    if n_before != ranks.size:
        warnings.warn(
            f"{run.path} goes on from step {checkpoint.step:,} on another number of ranks ({n_before} "
            f"before, {ranks.size} now): it will not be bit-identical to a run that was never stopped. Ranks that are "
            "new begin with the experience of others; the experience of those that are missing is not used.",
            stacklevel=_CALLERS,
        )
    collecting = what_changed_of_collecting(before["config"], now["config"])
    if collecting:
        warnings.warn(
            f"{run.path} goes on from step {checkpoint.step:,} with other collectors ({'; '.join(collecting)}): it "
            "collects other episodes from here on, and will not be bit-identical to a run that was never stopped.",
            stacklevel=_CALLERS,
        )
    _put_in_place(checkpoint)
    return checkpoint


def _newest_of_all(run: Run, ranks: Alone) -> Checkpoint | None:
    """Return the rank's checkpoint of the last step of which all ranks have one that is whole."""
    known = run.checkpoints.newest() if ranks.first else None
    before, *_ = ranks.gather(None if known is None else rank_of(known)[0])
    if before is None:  # the first rank says why, or starts again
        return None
    source = ranks.rank % before
    read = run.checkpoints if source == ranks.rank else run.checkpoints_of(source)
    latest = math.inf
    while True:
        found = read.newest(latest)
        steps = ranks.gather(None if found is None else found.step)
        if None in steps:
            return None
        if len(set(steps)) == 1:
            run.checkpoints.step = steps[0]
            return found
        latest = min(steps)


def _start_again(run: Run, interval: int) -> None:
    if run.measured_until() >= 2 * interval or "final" in run.scores():
        raise CheckpointError(
            f"{run.path} has got further than its first checkpoint, but there is none in "
            f"{run.checkpoints.folder}: it cannot be resumed. Train again, into another base_dir."
        )
    run.start_again()
    warnings.warn(f"{run.path} has no checkpoint yet and starts from the beginning.", stacklevel=_CALLERS + 1)


def _put_in_place(checkpoint: Checkpoint) -> None:
    """Put what older versions kept elsewhere to where it is looked for now."""
    state = checkpoint.state
    try:
        due = state["loop"]["due"]
        if "updates" in due:
            state["buffer"]["owed"] = due.pop("updates")
    except (KeyError, TypeError):
        pass  # told when it is taken up
