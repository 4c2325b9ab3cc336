"""Which frames of a ring belong to one episode, and where those lie that came later in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from workspace_rl.errors import ReplayBufferError
from workspace_rl.experience.hindsight.lines import Ints, Line

#: Of an episode that is not over: its last frame is the newest one of its source.
_RUNS = -1
#: What checkpoints keep of each frame, `[T, B]` int32.
SAVED = ("hindsight/source", "hindsight/time", "hindsight/begun", "hindsight/over")


class Episodes:
    """Knows of each frame of a ring whose it is, and from when to when its episode lasts.

    Frames of one source are counted by their *times* (see `Line`). Where an episode ends, that is written to all of its
    frames, once: so the frames of an episode are found without a search, in whatever blocks they lie.
    """

    def __init__(self, n_repeated: int) -> None:
        """Know nothing yet.

        Args:
            n_repeated: how many frames of a source may be repeated, at most.
        """
        self._n_repeated = n_repeated
        self._lines: dict[int, Line] = {}
        self._restored: list[tuple[int, dict[str, Ints]]] = []
        self._source = self._time = np.empty(0, np.int32)  # [capacity_T]
        self._begun = self._over = np.empty((0, 0), np.int32)  # [capacity_T, B]

    # ---- writing --------------------------------------------------------------------------------------------------

    def put(self, first: int, done: Ints, source: int, *, follows: bool | None, capacity_steps: int) -> None:
        """Take frames that were put into the rows from `first` on.

        Args:
            first: counted from the first row ever.
            done: which end an episode, `[T, B]`.
            source: whose they are.
            follows: whether the first one follows the newest one of this source; None: they repeat the newest ones.
            capacity_steps: rows of the ring.
        """
        self._allocate(capacity_steps, done.shape[1])
        line = self._lines.setdefault(source, Line(done.shape[1]))
        if follows is False:
            self._cut(line)
        rows = np.arange(first, first + len(done))
        if follows is None:
            self._repeat(line, rows, done, source)
        else:
            self._append(line, rows, done, source)
        for one in self._lines.values():
            one.forget_before(first + len(done) - capacity_steps)

    def _append(self, line: Line, rows: Ints, done: Ints, source: int) -> None:
        n_steps, batch_size = done.shape
        times = np.arange(n_steps) + (line.newest + 1)
        begins = np.concatenate((np.zeros((1, batch_size), bool), done[:-1]))
        begun = np.maximum.accumulate(np.where(begins, times[:, None], line.begun))
        line.append(rows)
        line.forget_before(int(rows[-1]) + 1 - len(self._source))
        self._write(rows[-len(self._source) :], source, times, begun, np.full_like(begun, _RUNS))
        for step, environment in np.argwhere(done):
            self._close(line, int(environment), int(begun[step, environment]), int(times[step]))
        line.begun = np.where(done[-1], line.newest + 1, begun[-1])
        line.begun_of_newest = np.concatenate((line.begun_of_newest, begun))[-self._n_repeated :]

    def _repeat(self, line: Line, rows: Ints, done: Ints, source: int) -> None:
        times = np.array(line.repeat(rows))[:, None]
        # An episode ends where the next `done` is; after the last one it still runs.
        ends = np.where(done, times, np.iinfo(np.int32).max)[::-1]
        over = np.minimum.accumulate(ends)[::-1]
        over = np.where(over > line.newest, _RUNS, over)
        self._write(rows, source, times[:, 0], line.begun_of_newest[-len(done) :], over)

    def cut(self, source: int | None) -> None:
        """Let the episodes of a source that are running, or of all, end at its newest frame."""
        for one in self._lines if source is None else self._lines.keys() & {source}:
            self._cut(self._lines[one])

    def _cut(self, line: Line) -> None:
        for environment, begun in enumerate(line.begun.tolist()):
            if begun <= line.newest:
                self._close(line, environment, begun, line.newest)
        line.begun[:] = line.newest + 1

    def _close(self, line: Line, environment: int, begun: int, last: int) -> None:
        self._over[line.rows_between(begun, last) % len(self._over), environment] = last

    def _write(self, rows: Ints, source: int, times: Ints, begun: Ints, over: Ints) -> None:
        """Write of the frames in `rows`, the last ones of those that the other arrays tell of."""
        places, n = rows % len(self._source), len(rows)
        self._source[places], self._time[places] = source, times[-n:]
        self._begun[places], self._over[places] = begun[-n:], over[-n:]

    def _allocate(self, capacity_steps: int, batch_size: int) -> None:
        if len(self._source) != capacity_steps:
            self._source, self._time = np.zeros((2, capacity_steps), np.int32)
            self._begun, self._over = np.zeros((2, capacity_steps, batch_size), np.int32)

    # ---- reading --------------------------------------------------------------------------------------------------

    def draw(self, index: Ints, uniform: Ints, strategy: str) -> Ints:
        """Return where a frame lies of the episode of each of these frames, which are not the last ones of theirs.

        Args:
            index: where frames lie, `[N]`: row * B + environment, within the ring.
            uniform: numbers in [0, 1), `[N]`, that decide which frames.
            strategy: "future", "final" or "episode" (see `Hindsight`).
        """
        capacity_steps, batch_size = self._over.shape
        place, environment = np.divmod(index, batch_size)
        source, found = self._source[place], np.empty_like(index)
        for one, line in self._lines.items():
            mine = slice(None) if len(self._lines) == 1 else (source == one).nonzero()[0]
            at, who = place[mine], environment[mine]
            over = self._over[at, who].astype(np.int64)
            last = np.where(over == _RUNS, line.newest, over)
            if strategy == "final":
                first = last
            elif strategy == "future":
                first = self._time[at].astype(np.int64) + 1
            else:
                first = np.maximum(self._begun[at, who], line.oldest)
            # By rounding, a number just below 1 might lead beyond.
            chosen = np.minimum(first + (uniform[mine] * (last - first + 1)).astype(np.int64), last)
            found[mine] = line.rows_at(chosen) % capacity_steps * batch_size + who
        return found

    # ---- saving ---------------------------------------------------------------------------------------------------

    def read(self, start: int, stop: int) -> dict[str, Tensor]:
        """Return what checkpoints keep of some rows, `[T, B]` int32."""
        if not len(self._source):
            return {}
        places = np.arange(start, stop) % len(self._source)
        of_rows = (np.broadcast_to(one[places, None], (len(places), self._over.shape[1])) for one in self._of_rows)
        values = (*of_rows, self._begun[places], self._over[places])
        return {name: torch.from_numpy(value.copy()) for name, value in zip(SAVED, values, strict=True)}

    @property
    def _of_rows(self) -> tuple[Ints, Ints]:
        return self._source, self._time

    def restored_from(
        self, pieces: Iterable[tuple[int, Mapping[str, Tensor]]]
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Yield pieces of saved rows without what `read` has added, which is kept for `restore`.

        Raises:
            ReplayBufferError: it is not there.
        """
        self._restored = []
        for start, piece in pieces:
            if not piece.keys() >= {*SAVED}:
                raise ReplayBufferError(
                    f"the saved rows do not tell which episodes they are of: {', '.join(SAVED)} expected beside "
                    f"{sorted(piece)}. They are of a replay buffer without hindsight; begin with an empty one."
                )
            self._restored.append((start, {name: piece[name].numpy() for name in SAVED}))
            yield start, {name: value for name, value in piece.items() if name not in SAVED}

    def restore(self, rows: range, capacity_steps: int) -> None:
        """Take over what `restored_from` has kept of another one's rows, of which these `rows` are still stored."""
        owners: list[Ints] = []
        kept, self._restored = self._restored, []
        for start, notes in kept:
            first = max(start, rows.start)
            source, time, begun, over = (notes[name][first - start :] for name in SAVED)
            if not len(source):
                continue
            self._allocate(capacity_steps, source.shape[1])
            places = np.arange(first, first + len(source)) % capacity_steps
            self._source[places], self._time[places] = source[:, 0], time[:, 0]
            self._begun[places], self._over[places] = begun, over
            owners.append(np.stack((np.arange(first, first + len(source)), source[:, 0])))
        self._lines.clear()
        if owners:
            row, source = np.concatenate(owners, 1)
            # A row may come in two pieces.
            row, unique = np.unique(row, return_index=True)
            for one in np.unique(source):
                self._take_over(int(one), row[source[unique] == one])

    def _take_over(self, source: int, rows: Ints) -> None:
        places, batch_size = rows % len(self._source), self._over.shape[1]
        line = self._lines[source] = Line(batch_size)
        line.take_over(self._time[places].astype(np.int64), rows)
        newest = line.rows_between(line.newest + 1 - max(1, self._n_repeated), line.newest) % len(self._source)
        line.begun_of_newest = self._begun[newest].astype(np.int64)[-self._n_repeated :]
        runs = self._over[newest[-1]] == _RUNS
        line.begun = np.where(runs, self._begun[newest[-1]], line.newest + 1).astype(np.int64)
