"""The slow truth about replay buffers: a list of all rows ever put, each frame with its own stack."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

from workspace_rl import Workspace


@dataclass(frozen=True)
class Frame:
    """One environment's part of a row. `number` tells it from all others."""

    number: int
    reward: float = 0.0
    terminated: bool = False
    done: bool = False
    closed: bool = False  # its windows begin where it is repeated
    stack: tuple[int, ...] = ()


@dataclass
class ReplayModel:
    capacity: int
    batch_size: int
    stack_size: int  # 0: no variable is stacked
    longest_window: int = 2
    more_rows: int = 0  # that the ring has for blocks
    rows: list[list[Frame]] = field(default_factory=list)
    source: int | None = None
    running: int = 0  # the newest rows that follow each other, of the source that was put last
    tails: dict[int, list[list[Frame]]] = field(default_factory=dict)

    @property
    def history(self):
        return max(0, self.stack_size - 1)

    @property
    def n_kept(self):
        return -(-self.capacity // self.batch_size) + 1 + self.more_rows

    def put(self, rows, continues, source=0):
        if not continues:
            self.end_episodes(source)
        if source != self.source:
            self.turn_to(source)
        self.append(rows)

    def append(self, rows):
        if not self.running:
            # The older pictures of the first stacks take rows in which no window begins: copies of the first frame.
            self.rows += [[replace(frame, done=True, stack=()) for frame in rows[0]]] * self.history
        self.rows += rows
        self.running += len(rows)

    def turn_to(self, source):
        n = min(self.longest_window - 1, self.running, self.n_kept)
        if n:
            self.tails[self.source] = self.rows[-n:]
            self.rows[-n:] = [[replace(frame, closed=True) for frame in row] for row in self.rows[-n:]]
            if n < self.longest_window - 1:  # windows from before a cut may go through all of it
                self.rows[-1] = [replace(frame, done=True) for frame in self.rows[-1]]
        self.source, self.running = source, 0
        if source in self.tails:
            self.append(self.tails.pop(source))

    def end_episodes(self, source=None):
        if source in (None, self.source):
            self.cut()
        for one in sorted(self.tails) if source is None else {source} & self.tails.keys():
            if all(frame.done for row in self.tails[one][:-1] for frame in row):
                del self.tails[one]  # no window would begin there
            else:
                self.turn_to(one)
                self.cut()

    def cut(self):
        if self.running:
            self.rows[-1] = [replace(frame, done=True) for frame in self.rows[-1]]
        self.running = 0

    def windows(self, length):
        """Return all windows that may be sampled, each a tuple of frames."""
        kept = self.rows[-self.n_kept :]
        return [
            tuple(row[b] for row in kept[t : t + length])
            for t in range(len(kept) - length + 1)
            for b in range(self.batch_size)
            if not kept[t][b].done and not kept[t][b].closed
        ]


@dataclass
class PrioritizedModel(ReplayModel):
    """Gives windows priorities, each by the row and the environment of its first frame."""

    priorities: dict[tuple[int, int], float] = field(default_factory=dict)
    known: int = 0  # windows of rows before this one have been drawn from
    greatest: float = 1.0

    def distribution(self, length):
        """Return the priorities of all windows that may be sampled; new ones have the greatest so far."""
        oldest, stop = max(0, len(self.rows) - self.n_kept), len(self.rows) - length + 1
        for t in range(max(oldest, self.known), stop):
            self.priorities |= {(t, b): self.greatest for b in range(self.batch_size)}
        if stop > oldest:
            self.known = max(self.known, stop)
        allowed = {(t, b): self.rows[t][b] for t in range(oldest, stop) for b in range(self.batch_size)}
        return {at: self.priorities[at] for at, frame in allowed.items() if not frame.done and not frame.closed}

    def learned(self, drawn, errors, first_stored):
        """Take errors of windows for their priorities: with an exponent of 1. Of one that comes twice, the greater."""
        last = {}
        for at, error in zip(drawn, errors, strict=True):
            if at[0] >= first_stored:
                last[at] = max(error, last.get(at, 0.0))
        self.priorities |= last
        self.greatest = max([self.greatest, *last.values()])


def n_step_return(window, discount_factor):
    """Return the sum of rewards, the discount of the bootstrap, and the frame it bootstraps from."""
    total, power = 0.0, 1.0
    for frame in window[1:]:
        total += power * frame.reward
        power *= discount_factor
        if frame.done:
            break
    return total, 0.0 if frame.terminated else power, frame


class Environments:
    """Number their frames and stack them, and begin anew after the end of an episode."""

    def __init__(self, batch_size, stack_size, zeros, first=0):
        self.batch_size, self.stack_size, self.zeros = batch_size, stack_size, zeros
        self.number = first
        self.stacks = [None] * batch_size

    def reset(self):
        self.stacks = [None] * self.batch_size

    def rows(self, endings):
        """Return a row for each step; `endings` [T][B]: 0 goes on, 1 terminates, 2 is truncated, 3 both."""
        rows = []
        for step in endings:
            row = []
            for b, ending in enumerate(step):
                self.number += 1
                older = self.stacks[b]
                if older is None:
                    older = [0 if self.zeros else self.number] * self.stack_size
                self.stacks[b] = [*older, self.number][1:]
                stack = tuple(self.stacks[b]) if self.stack_size else ()
                row.append(Frame(self.number, self.number % 7 - 2.5, ending in (1, 3), ending > 0, stack=stack))
                if ending:
                    self.stacks[b] = None
            rows.append(row)
        return rows


def to_workspace(rows, batch_size, stack_size):
    """Return rows as the workspace that a collector would have put."""

    def column(what, dtype, *shape):
        values = [[getattr(frame, what) for frame in row] for row in rows]
        return torch.tensor(values, dtype=dtype).reshape(len(rows), batch_size, *shape)

    workspace = Workspace()
    workspace.set_full("number", column("number", torch.int64))
    workspace.set_full("env/reward", column("reward", torch.float32))
    workspace.set_full("env/terminated", column("terminated", torch.bool))
    workspace.set_full("env/done", column("done", torch.bool))
    if stack_size:
        pictures = column("stack", torch.int32, stack_size)
        workspace.set_full("picture", torch.stack((pictures, -pictures), -1))
    return workspace
