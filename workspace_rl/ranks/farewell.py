"""What a rank that leaves early tells the others, and what they make of their broken connection to it."""

from __future__ import annotations

import json

from torch.distributed.distributed_c10d import Store

from workspace_rl.errors import RankError
from workspace_rl.machine.interrupts import Stopped

#: What torch says, by these words, when a connection between ranks has come to an end.
_BROKEN = ("gloo", "c10d", "NCCL", "Connection closed", "Connection reset")


class Farewells:
    """The last words of ranks, in a store that all of them can read."""

    def __init__(self, store: Store, rank: int, size: int) -> None:
        """Speak for `rank`, one of `size`."""
        self._store, self._rank, self._size = store, rank, size

    def leave(self, error: BaseException) -> None:
        """Say why this rank leaves, before its connections close, unless it does so since another one has left."""
        if isinstance(error, RankError):
            return
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        words = {"stopped": isinstance(error, KeyboardInterrupt), "message": message}
        self._store.set(_key(self._rank), json.dumps(words))

    def reason_of(self, error: BaseException) -> BaseException | None:
        """Return what an error means that a rank meets: why another one has left; None if it is its own error."""
        if isinstance(error, RankError) or not isinstance(error, RuntimeError):
            return None
        for rank in range(self._size):
            words = self._words_of(rank) if rank != self._rank else None
            if words is not None:
                text = f"rank {rank} of this training has failed, so that the others end, too: {words['message']}"
                return Stopped(f"rank {rank} was stopped") if words["stopped"] else RankError(text)
        if any(word in str(error) for word in _BROKEN):
            return RankError(
                "another rank of this training has ended without a word, as one does that is killed. What its output "
                "ends with, and torchrun's report, tell more; 'workspace-rl resume' under torchrun goes on from the "
                f"last checkpoint. ({error})"
            )
        return None

    def _words_of(self, rank: int) -> dict[str, object] | None:
        try:
            if not self._store.check([_key(rank)]):
                return None
            words: dict[str, object] = json.loads(self._store.get(_key(rank)))
        except (RuntimeError, ValueError):  # whoever kept the store has ended, too
            return None
        return words


def _key(rank: int) -> str:
    return f"left/{rank}"
