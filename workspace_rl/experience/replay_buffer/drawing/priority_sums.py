"""Numbers of many places, and drawing places in proportion to them."""

from __future__ import annotations

import torch
from torch import Tensor

#: Places in a block, of which the sum is kept.
_BLOCK = 128
#: What keeps targets below the sums that they are looked for in, whatever is rounded, in float64 and in float32.
_BELOW, _BELOW_FLOAT32 = 1 - 1e-14, 1 - 1e-6


class PrioritySums:
    """A number for each place, 0 or more, and their sums over blocks of places: a sum tree of two wide levels.

    (Schaul et al. 2016, "Prioritized Experience Replay", arXiv:1511.05952, appendix B.2.1.) A draw goes down from all
    blocks to one, and to a place in it: a few operations on all draws at once, instead of many on each. Sums are never
    added to, but made again of their numbers, so that no errors of rounding gather.
    """

    def __init__(self, n_places: int, device: torch.device) -> None:
        """Begin with 0 everywhere."""
        n_blocks = -(-n_places // _BLOCK)
        #: By place, and then zeros.
        self.numbers = torch.zeros(n_blocks * _BLOCK, device=device)
        self._blocks = self.numbers.view(n_blocks, _BLOCK)
        self._sums = torch.zeros(n_blocks, dtype=torch.float64, device=device)
        # Sums of all blocks before each one, and of all.
        self._before = torch.zeros(n_blocks + 1, dtype=torch.float64, device=device)
        self._up_to = self._before[1:]
        self._strata: dict[int, Tensor] = {}  # n -> where their ranges begin, as parts of the whole sum

    def put(self, places: Tensor, numbers: Tensor) -> None:
        """Write the numbers of places that follow each other (`[n]`)."""
        self.numbers.index_copy_(0, places, numbers)
        self._add_up((places // _BLOCK).unique_consecutive())

    def put_greatest(self, places: Tensor, numbers: Tensor) -> None:
        """Write the numbers of any places (`[n]`); of one that comes more than once, the greatest."""
        self.numbers.scatter_reduce_(0, places, numbers, "amax", include_self=False)
        self._add_up(places // _BLOCK)

    def _add_up(self, blocks: Tensor) -> None:
        self._sums.index_copy_(0, blocks, self._blocks.index_select(0, blocks).sum(1).double())

    def draw(self, n: int) -> Tensor:
        """Draw `n` places, one from each of `n` ranges that share the whole sum equally (appendix B.2.1); `[n]` int64.

        No place whose number is 0 is drawn, as long as there is another one.
        """
        part = _BELOW / max(1, n)
        if n not in self._strata:
            self._strata[n] = torch.arange(n, dtype=torch.float64, device=self._sums.device).mul_(part)
        torch.cumsum(self._sums, 0, out=self._up_to)
        target = torch.rand(n, dtype=torch.float64, device=self._sums.device)
        target = target.mul_(part).add_(self._strata[n]).mul_(self._up_to[-1])
        # The first sum that is above the target: those that do not grow, whose numbers are 0, are never found.
        block = torch.searchsorted(self._up_to, target, right=True)
        rest = target.sub_(self._before.index_select(0, block)).float()
        inside = self._blocks.index_select(0, block).cumsum_(1)
        rest = torch.minimum(rest, inside[:, -1] * _BELOW_FLOAT32)
        place = torch.searchsorted(inside, rest.unsqueeze(1), right=True)
        return block.mul_(_BLOCK).add_(place.squeeze(1))
