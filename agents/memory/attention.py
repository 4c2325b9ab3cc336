"""A layer of attention that looks a fixed number of steps back, and never into another episode."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from workspace_rl.agents.networks import full_precision, orthogonal


class AttentionLayer(nn.Module):
    """Self-attention over this step and the `window - 1` before it, then a perceptron, each added to what it reads.

    What they read is normalised first, so that the layer begins close to passing on its input, and memory is learned
    on top of that (Parisotto et al. 2019, arXiv:1910.06764). How far back a step lies counts by a number for each
    head and distance, which is added to the product of query and key (Raffel et al. 2019, arXiv:1910.10683, section
    2.1).
    """

    def __init__(self, size: int, n_heads: int, window: int, gain: float) -> None:
        """Build a layer of `size` numbers; `gain` is that of the weights whose outcome is added."""
        super().__init__()
        self.n_heads, self.window = n_heads, window
        self.norm, self.norm_after = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query, self.key_value = orthogonal(nn.Linear(size, size), 1.0), orthogonal(nn.Linear(size, 2 * size), 1.0)
        self.out = orthogonal(nn.Linear(size, size), gain)
        self.position = nn.Parameter(torch.zeros(n_heads, window))
        # Not `build_mlp`, whose last layer is an output: what these give is added to features.
        self.perceptron = orthogonal(
            nn.Sequential(nn.Linear(size, 4 * size), nn.ReLU(), nn.Linear(4 * size, size)), math.sqrt(2)
        )
        orthogonal(self.perceptron[-1], gain)

    def forward(self, inputs: Tensor, episode: Tensor) -> Tensor:
        """Return what the layer makes of each step but the first `window - 1`, which are only looked back at.

        Args:
            inputs: `[B, S, size]`.
            episode: `[B, S]`, a number that is the same for steps of the same episode.

        Returns:
            `[B, S - window + 1, size]`.
        """
        normed, reach = self.norm(inputs), self.window - 1
        keys, values = self.key_value(normed).chunk(2, -1)
        seen = self._look(self.query(normed[:, reach:]), keys, values, episode)
        inputs = inputs[:, reach:] + self.out(seen)
        added: Tensor = self.perceptron(self.norm_after(inputs))
        return inputs + added

    def _look(self, query: Tensor, keys: Tensor, values: Tensor, episode: Tensor) -> Tensor:
        """Return the mean of the values that each query looks at, `[B, N, size]`.

        In blocks of `window` steps, each of which looks at itself and the block before: time and memory grow with the
        number of steps, not with its square.
        """
        n_steps, reach = query.shape[1], self.window - 1
        block = min(self.window, n_steps)
        padding = -n_steps % block
        n_heads, span = self.n_heads, block + reach
        queries = _padded(query, padding).unflatten(1, (-1, block)).unflatten(-1, (n_heads, -1)).transpose(2, 3)
        # [B, blocks, heads, size of a head, span]
        keys, values = (
            _padded(one, padding).unfold(1, span, block).unflatten(2, (n_heads, -1)) for one in (keys, values)
        )
        own = functional.pad(episode[:, reach:], (0, padding), value=-1).unflatten(1, (-1, 1, block, 1))
        others = functional.pad(episode, (0, padding), value=-1).unfold(1, span, block)[:, :, None, None]
        scores = full_precision(queries @ keys) / math.sqrt(queries.shape[-1]) + self._of_distance(block, span)
        weights = torch.softmax(scores.masked_fill(own != others, -torch.inf), -1)
        seen = weights.to(values.dtype) @ values.transpose(-1, -2)
        return seen.transpose(2, 3).flatten(-2).flatten(1, 2)[:, :n_steps]

    def _of_distance(self, block: int, span: int) -> Tensor:
        """Return what is added to the product of each query of a block and each key, `[heads, block, span]`."""
        steps = torch.arange(span, device=self.position.device)
        distance = steps[span - block :, None] - steps
        # By a sum of which all terms but one are 0: picking the numbers by an index would let GPUs add up its gradient
        # in any order.
        chosen = distance == steps[: self.window, None, None]
        bias = (full_precision(self.position)[..., None, None] * chosen).sum(1)
        return bias.masked_fill(~chosen.any(0), -torch.inf)


def _padded(values: Tensor, n: int) -> Tensor:
    """Return `[B, S, size]` with `n` steps of zeros behind it."""
    return functional.pad(values, (0, 0, 0, n)) if n else values
