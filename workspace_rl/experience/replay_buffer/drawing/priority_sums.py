"""Numbers of many places, and drawing places in proportion to them."""

from __future__ import annotations

import numpy as np
import torch

#: Places in a block, of which the sum is kept: a draw adds up all blocks' sums, and the places of one block.
_BLOCK = 64
#: What keeps targets below the sums that they are looked for in, whatever is rounded, in float64 and in float32.
_BELOW, _BELOW_FLOAT32 = 1 - 1e-14, np.float32(1 - 1e-6)


class PrioritySums:
    """A number for each place, 0 or more, and their sums over blocks of places: a sum tree of two wide levels.

    (Schaul et al. 2016, "Prioritized Experience Replay", arXiv:1511.05952, appendix B.2.1.) A draw goes down from all
    blocks to one, and to a place in it: a few operations on all draws at once, instead of many on each. Sums are never
    added to, but made again of their numbers, so that no errors of rounding gather.

    NumPy calls cost less than torch's on so few numbers; sums one after the other are torch's, which is quicker there.
    """

    def __init__(self, n_places: int) -> None:
        """Begin with 0 everywhere."""
        n_blocks = -(-n_places // _BLOCK)
        #: By place, and then zeros.
        self.numbers = np.zeros(n_blocks * _BLOCK, dtype=np.float32)
        self._sums = np.zeros(n_blocks)
        # Sums of all blocks before each one, and of all.
        self._before = np.zeros(n_blocks + 1)

    @property
    def _blocks(self) -> np.ndarray:
        return self.numbers.reshape(-1, _BLOCK)

    def put_run(self, run: slice, numbers: np.ndarray | float) -> None:
        """Write the numbers of places that follow each other."""
        self.numbers[run] = numbers
        blocks = slice(run.start // _BLOCK, -(-run.stop // _BLOCK))
        self._sums[blocks] = self._blocks[blocks].sum(1)

    def put(self, places: np.ndarray, numbers: np.ndarray) -> None:
        """Write the numbers of any places (`[n]`), the same one wherever a place comes again."""
        self.numbers[places] = numbers
        blocks = places // _BLOCK
        self._sums[blocks] = self._blocks.take(blocks, 0).sum(1)

    def draw(self, n: int) -> np.ndarray:
        """Draw `n` places, one from each of `n` ranges that share the whole sum equally (appendix B.2.1); `[n]` int64.

        No place whose number is 0 is drawn, as long as there is another one.
        """
        up_to = self._before[1:]
        torch.cumsum(torch.from_numpy(self._sums), 0, out=torch.from_numpy(up_to))
        target = torch.rand(n, dtype=torch.float64).numpy()
        target += np.arange(n)
        target *= up_to[-1] * (_BELOW / max(1, n))
        # The first sum that is above the target: those that do not grow, whose numbers are 0, are never found.
        block = up_to.searchsorted(target, side="right")
        target -= self._before[block]
        inside = torch.from_numpy(self._blocks.take(block, 0)).cumsum(1)
        rest = np.minimum(target.astype(np.float32), inside[:, -1].numpy() * _BELOW_FLOAT32)
        place = torch.searchsorted(inside, torch.from_numpy(rest).unsqueeze(1), right=True)
        block *= _BLOCK
        block += place.numpy()[:, 0]
        return block
