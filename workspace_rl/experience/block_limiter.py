"""A rate limiter for a learner that orders blocks of transitions, and draws batches from what has come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from workspace_rl.errors import ConfigError, RateLimiterError
from workspace_rl.experience.rate_limiter import RateLimiter

#: Sampled items by which sums of floating-point numbers may be off where limits meet exactly.
_ROUNDING = 1e-6


class BlockLimiter:
    """Limits what is ordered and what is drawn, with a `RateLimiter` that counts both.

    What is ordered is on its way: it counts as inserted where more is to be ordered, until it has come, or is lost.
    Blocks may come shorter than they were ordered, since a reset is no transition.

    Reverb inserts one item after the other up to `min_size`. A block may step over it, so here one may be ordered
    while the size, with what is on its way, is below `min_size`, and while nothing can be drawn for another reason.
    Then collecting and learning never wait for each other if max_diff - min_diff >= spi block + batch: where nothing is
    on its way, no block may be ordered only if i spi - s > max_diff - spi block, and no batch drawn only if
    i spi - s < min_diff + batch.
    """

    def __init__(self, limiter: RateLimiter, *, block: int, batch: int, capacity: int) -> None:
        """Limit by `limiter`.

        Args:
            limiter: counts transitions as inserted items, and the windows of batches as sampled ones.
            block: transitions of an order, at most.
            batch: windows of a batch.
            capacity: transitions that can be kept.

        Raises:
            ConfigError: collecting and learning could wait for each other for ever.
        """
        self.limiter, self.block, self.batch, self.capacity = limiter, block, batch, capacity
        #: Transitions that are on their way.
        self.ordered = 0
        #: Whether what is kept is enough for a window.
        self.stocked = False
        needed = limiter.samples_per_insert * block + batch
        if limiter.max_diff - limiter.min_diff < needed:
            raise ConfigError(
                f"error_buffer: at least {needed / 2:g} sampled items expected, half of samples_per_insert x (n_envs x "
                f"n_steps) + batch_size = {limiter.samples_per_insert:g} x {block} + {batch}, "
                f"{(limiter.max_diff - limiter.min_diff) / 2:g} found: collecting and learning would wait for each "
                "other. Leave it out to have what these collectors need."
            )
        if limiter.min_size > capacity:
            raise ConfigError(
                f"learning_starts: at most the {capacity} transitions that the replay buffer holds expected, "
                f"{limiter.min_size} found: learning would never begin. Choose a larger buffer_size."
            )

    @classmethod
    def for_collectors(
        cls,
        n: int,
        *,
        block: int,
        batch: int,
        capacity: int,
        min_size: int,
        samples_per_insert: float,
        error_buffer: float | None = None,
    ) -> Self:
        """Return one for `n` collectors, each with at most two blocks on their way.

        Unless an error buffer is given, learning may be one batch ahead, and all those blocks behind: then none of the
        collectors is kept waiting while the learner has nothing to do. That is where i < min_size, or where
        i spi - s < min_diff + batch = spi min_size; both times all blocks may be on their way, since
        (i + 2 n block) spi - s <= spi min_size + 2 n spi block = max_diff.

        Raises:
            ConfigError: collecting and learning could wait for each other for ever.
        """
        ratio, offset = samples_per_insert, samples_per_insert * min_size
        if error_buffer is None:
            ahead, behind = float(batch), max(2 * n * ratio * block, 2 * max(1, ratio) - batch)
        else:
            ahead = behind = error_buffer
        limiter = RateLimiter(ratio, min_size, (offset - ahead, offset + behind + _ROUNDING))
        return cls(limiter, block=block, batch=batch, capacity=capacity)

    # ---- collecting -----------------------------------------------------------------------------------------------

    def may_order(self) -> bool:
        """Return whether a block may be ordered."""
        limiter = self.limiter
        below = not self.stocked or limiter.size + self.ordered < limiter.min_size
        return below or limiter.can_insert(self.ordered + self.block)

    def order(self) -> None:
        """Count a block as on its way."""
        self.ordered += self.block

    def arrive(self, n_transitions: int) -> None:
        """Count a block as come, with so many transitions."""
        self.ordered -= self.block
        self.limiter.insert(n_transitions)
        self.limiter.delete(max(0, self.limiter.size - self.capacity))

    def lose(self) -> None:
        """Count a block as lost, or thrown away: it is not on its way any more, and nothing has come."""
        self.ordered -= self.block

    # ---- learning -------------------------------------------------------------------------------------------------

    def may_draw(self) -> bool:
        """Return whether a batch may be drawn."""
        return self.stocked and self.limiter.can_sample(self.batch)

    def draw(self) -> None:
        """Count a batch as drawn."""
        self.limiter.sample(self.batch)

    def require_a_way_on(self) -> None:
        """Look whether something may be ordered or drawn, or is on its way.

        Raises:
            RateLimiterError: nothing may or is, so that it would stay so for ever.
        """
        if self.ordered or self.may_order() or self.may_draw():
            return
        raise RateLimiterError(
            f"the rate limiter can never be satisfied: with {self.limiter.inserts:,} transitions inserted and "
            f"{self.limiter.samples:,} items sampled, neither a block of {self.block} may be collected nor a batch of "
            f"{self.batch} learned from, and nothing is on its way. Choose a larger collectors.error_buffer."
        )

    # ---- what is shown and kept -----------------------------------------------------------------------------------

    def status(self) -> dict[str, float]:
        """Return the counters, and how far it is to both limits.

        `may_sample`: items until learning waits; `may_insert`: transitions until collecting waits, what is on its way
        counted as inserted; below 0 where one waits.
        """
        limiter = self.limiter
        diff = limiter.inserts * limiter.samples_per_insert - limiter.samples
        room = (limiter.max_diff - diff) / limiter.samples_per_insert - self.ordered
        return {
            "inserts": limiter.inserts,
            "samples": limiter.samples,
            "ordered": self.ordered,
            "may_sample": diff - limiter.min_diff,
            "may_insert": max(room, limiter.min_size - limiter.size - self.ordered),
        }

    def describe(self) -> dict[str, Any]:
        """Return what `restore` needs, as plain data: what is on its way is lost with the process."""
        return self.limiter.describe()

    def restore(self, description: Mapping[str, Any] | None, *, stored: int, stocked: bool) -> None:
        """Go on from a description.

        Args:
            description: None if the run went on in another mode so far.
            stored: transitions that are kept.
            stocked: whether that is enough for a window.
        """
        self.limiter.restore(description or {"inserts": stored, "samples": 0, "deletes": 0})
        self.ordered, self.stocked = 0, stocked
