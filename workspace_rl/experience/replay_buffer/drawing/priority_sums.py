"""Numbers of many places, and drawing places in proportion to them."""

from __future__ import annotations

import torch
from torch import Tensor

#: Places in a block, of which the sum is kept, and in a part of one, of which it is made when a place is drawn.
_BLOCK, _PART = 256, 16


class PrioritySums:
    """A number for each place, 0 or more, and their sums over blocks of places: a sum tree of three levels.

    (Schaul et al. 2016, "Prioritized Experience Replay", arXiv:1511.05952, appendix B.2.1.) A draw goes down from all
    blocks to one, to a part of it, and to a place: a few operations on all draws at once, instead of many on each.
    Sums are never added to, but made again of their numbers, so that no errors of rounding gather.
    """

    def __init__(self, n_places: int, device: torch.device) -> None:
        """Begin with 0 everywhere."""
        n_blocks = -(-n_places // _BLOCK)
        self._n_places = n_places
        #: By place, and then zeros.
        self.numbers = torch.zeros(n_blocks * _BLOCK, device=device)
        self._blocks = self.numbers.view(n_blocks, _BLOCK)
        self._sums = torch.zeros(n_blocks, dtype=torch.float64, device=device)

    def put(self, places: Tensor, numbers: Tensor, *, in_order: bool = False) -> None:
        """Write the numbers of places (`[n]`), which may follow each other; of one that comes twice, both are equal."""
        self.numbers.index_copy_(0, places, numbers)
        blocks = places // _BLOCK
        if in_order:
            blocks = blocks.unique_consecutive()
        sums = self._blocks.index_select(0, blocks).sum(-1, dtype=torch.float64)
        self._sums.index_copy_(0, blocks, sums)

    def draw(self, n: int) -> Tensor:
        """Draw `n` places, one from each of `n` ranges that share the whole sum equally (appendix B.2.1); `[n]` int64.

        No place whose number is 0 is drawn, as long as there is another one.
        """
        device = self.numbers.device
        up_to = self._sums.cumsum(0)
        strata = torch.arange(n, dtype=torch.float64, device=device)
        target = strata.add_(torch.rand(n, dtype=torch.float64, device=device)).mul_(up_to[-1] / max(1, n))
        block, rest = _find(up_to, target)
        parts = self._blocks.index_select(0, block).view(n, _BLOCK // _PART, _PART)
        part, rest = _find(parts.sum(-1, dtype=torch.float64).cumsum_(-1), rest.unsqueeze(1))
        inside = parts.gather(1, part.unsqueeze(-1).expand(-1, -1, _PART)).squeeze(1)
        place, _ = _find(inside.double().cumsum_(-1), rest)
        place = block.mul_(_BLOCK).add_(part.squeeze(1), alpha=_PART).add_(place.squeeze(1))
        return place.clamp_(max=self._n_places - 1)  # where numbers are none


def _find(up_to: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return of cumulative sums the first that is above each target, and how far the target is above that before it.

    A target that is above all of them, by rounding, counts as just below the last one: so sums that do not grow,
    whose numbers are 0, are never found.
    """
    last = up_to[..., -1:]
    target = torch.minimum(target, torch.nextafter(last, torch.zeros_like(last)))
    index = torch.searchsorted(up_to, target, right=True).clamp_(max=up_to.shape[-1] - 1)
    before = index - 1
    sums = up_to.gather(-1, before.clamp(min=0)) if up_to.ndim > 1 else up_to.index_select(0, before.clamp(min=0))
    return index, target - torch.where(before < 0, 0, sums)
