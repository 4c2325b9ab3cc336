"""The rows of a replay buffer as checkpoints keep them, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from workspace_rl.errors import ReplayBufferError
from workspace_rl.experience.replay_buffer.episode_ends import EpisodeEnds
from workspace_rl.experience.replay_buffer.frame_stacks import FrameStacks
from workspace_rl.experience.replay_buffer.ring import Ring, bits

#: What the rows of a buffer with stacks are saved with besides the variables.
AGES = "ages"


def read_rows(ring: Ring, stacks: FrameStacks, start: int, stop: int) -> dict[str, Tensor]:
    """Return some of the stored rows as they are, `[T, B, ...]` on the CPU, single pictures where stacked."""
    places = ring.places(start, stop)
    return {name: rows.index_select(0, places).cpu() for name, rows in _rows(ring, stacks).items()}


def restore_rows(
    ring: Ring,
    stacks: FrameStacks,
    ends: EpisodeEnds,
    variables: Iterable[str],
    done_variable: str,
    pieces: Iterable[tuple[int, Mapping[str, Tensor]]],
) -> None:
    """Put rows that were read from another ring, in order, where they lay, up to `ring.steps`.

    Raises:
        ReplayBufferError: the pieces do not fit, or do not cover the ring's rows.
    """
    names, reached = {*variables, done_variable, *([AGES] if stacks.sizes else [])}, 0
    for start, piece in pieces:
        sizes = {tuple(value.shape[:2]) for value in piece.values()}
        if set(piece) != names or len(sizes) != 1:
            raise ReplayBufferError(f"saved rows hold {sorted(piece)} of sizes {sorted(sizes)}, not {names}.")
        ((n_steps, batch_size),) = sizes
        if not ring.storage:
            ring.allocate({name: piece[name] for name in (*variables, done_variable)}, batch_size, stacks.sizes)
            stacks.allocate()
        if batch_size != ring.batch_size or start > max(reached, ring.rows.start):
            raise ReplayBufferError(f"saved rows do not follow each other: {reached} expected, {start} found.")
        first, reached = max(start, ring.rows.start), start + n_steps
        if first >= reached:
            continue
        _write(ring, stacks, ring.places(first, reached), {name: one[first - start :] for name, one in piece.items()})
        positions = piece[done_variable][first - start :].flatten().nonzero().squeeze(-1).numpy()
        ends.append(positions + first * batch_size)
    if reached != ring.steps:
        raise ReplayBufferError(f"saved rows end at {reached}, but {ring.steps} were put.")


def _write(ring: Ring, stacks: FrameStacks, places: Tensor, values: Mapping[str, Tensor]) -> None:
    all_rows = _rows(ring, stacks)
    for name, value in values.items():
        rows = all_rows[name]
        if rows.shape[1:] != value.shape[1:] or rows.dtype != value.dtype:
            raise ReplayBufferError(
                f"the saved rows of {name!r} do not fit: {list(rows.shape[1:])} of {rows.dtype} expected, "
                f"{list(value.shape[1:])} of {value.dtype} found."
            )
        bits(rows).index_copy_(0, places, bits(value.to(ring.device)))


def _rows(ring: Ring, stacks: FrameStacks) -> dict[str, Tensor]:
    rows = {name: ring.rows_of(name) for name in ring.storage}
    return {**rows, AGES: stacks.rows_of_ages()} if stacks.sizes and rows else rows
