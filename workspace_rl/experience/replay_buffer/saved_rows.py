"""The rows of a replay buffer as checkpoints keep them, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from workspace_rl.errors import ReplayBufferError
from workspace_rl.experience.replay_buffer.episode_ends import EpisodeEnds
from workspace_rl.experience.replay_buffer.ring import Ring, bits
from workspace_rl.experience.replay_buffer.weights_age import UNKNOWN, VERSIONS

#: Which frames begin no window, saved where these are not those alone that end an episode.
BEGIN_NONE = "begin_no_window"


def read_rows(ring: Ring, ends: EpisodeEnds, done_variable: str, start: int, stop: int) -> dict[str, Tensor]:
    """Return some of the stored rows as they are, `[T, B, ...]` on the CPU, single pictures where stacked."""
    places = ring.places(start, stop)
    saved = {name: rows.index_select(0, places).cpu() for name, rows in _rows(ring).items()}
    if saved:
        done = saved[done_variable]
        # Of rows whose stacks are not stored any more, ends are forgotten.
        begin_none = done | torch.from_numpy(ends.among(range(start, stop), ring.batch_size))
        if not begin_none.equal(done):
            saved[BEGIN_NONE] = begin_none
    return saved


def restore_rows(
    ring: Ring,
    ends: EpisodeEnds,
    variables: Iterable[str],
    done_variable: str,
    pieces: Iterable[tuple[int, Mapping[str, Tensor]]],
) -> None:
    """Put rows that were read from another ring, in order, where they lay, up to `ring.steps`.

    Versions may be missing, or be of no use here.

    Raises:
        ReplayBufferError: the pieces do not fit, or do not cover the ring's rows.
    """
    names, optional, reached = {*variables, done_variable}, {VERSIONS, BEGIN_NONE}, 0
    names |= ring.note_dtypes.keys() - optional
    for start, piece in pieces:
        sizes = {tuple(value.shape[:2]) for value in piece.values()}
        if set(piece) - optional != names or len(sizes) != 1:
            raise ReplayBufferError(f"saved rows hold {sorted(piece)} of sizes {sorted(sizes)}, not {names}.")
        ((n_steps, batch_size),) = sizes
        if not ring.storage:
            ring.allocate({name: piece[name] for name in (*variables, done_variable)}, batch_size)
        if batch_size != ring.batch_size or start > max(reached, ring.rows.start):
            raise ReplayBufferError(f"saved rows do not follow each other: {reached} expected, {start} found.")
        first, reached = max(start, ring.rows.start), start + n_steps
        if first >= reached:
            continue
        _write(ring, ring.places(first, reached), {name: one[first - start :] for name, one in piece.items()})
        begin_none = piece.get(BEGIN_NONE, piece[done_variable])
        ends.append(begin_none[first - start :].flatten().nonzero().squeeze(-1).numpy() + first * batch_size)
    if reached != ring.steps:
        raise ReplayBufferError(f"saved rows end at {reached}, but {ring.steps} were put.")


def _write(ring: Ring, places: Tensor, values: Mapping[str, Tensor]) -> None:
    for name, rows in _rows(ring).items():
        value = values.get(name)
        if value is None:  # versions
            rows.index_fill_(0, places, UNKNOWN)
            continue
        if rows.shape[1:] != value.shape[1:] or rows.dtype != value.dtype:
            raise ReplayBufferError(
                f"the saved rows of {name!r} do not fit: {list(rows.shape[1:])} of {rows.dtype} expected, "
                f"{list(value.shape[1:])} of {value.dtype} found."
            )
        bits(rows).index_copy_(0, places, bits(value.to(ring.device)))


def _rows(ring: Ring) -> dict[str, Tensor]:
    return {name: ring.rows_of(name) for name in ring.storage} | {name: ring.rows_of_note(name) for name in ring.notes}
