"""A transformer that looks back over a window of steps."""

from __future__ import annotations

import math
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from workspace_rl.agents.memory.attention import AttentionLayer
from workspace_rl.agents.memory.memory_agent import MemoryAgent, MemoryOptions, State
from workspace_rl.agents.networks import full_precision, orthogonal
from workspace_rl.basics.arguments import checked
from workspace_rl.errors import ConfigError


class TransformerAgent(MemoryAgent):
    """A causal transformer: layers of attention, each of which looks back `window - 1` steps within the episode.

    Reads the observation at `t`, and its state at `t - 1`: the last `n_layers * (window - 1)` observations, as far as
    its outcome depends on them. Writes `<prefix>memory` (`[B, size]`), and the state at `t`: `<prefix>memory/inputs`
    (`[B, n_layers * (window - 1), input_size]`, the last one at the end) and `<prefix>memory/count` (`[B]`), how many
    of these belong to the episode; the others mean nothing. For the rest see `MemoryAgent`.

    The state is what was observed, not what the network made of it: it holds for other weights, too. Nothing but
    `n_layers * (window - 1)` frames before a piece of time is needed to have it, so it is not stored.
    """

    stores_state = False

    @checked(least={"input_size": 1, "size": 1, "n_layers": 1, "n_heads": 1, "window": 2})
    def __init__(
        self,
        input_size: int,
        size: int = 64,
        n_layers: int = 1,
        n_heads: int = 4,
        window: int = 16,
        **options: Unpack[MemoryOptions],
    ) -> None:
        """Build `n_layers` layers of `size` numbers, looked at by `n_heads` heads; for the options see `MemoryAgent`.

        Raises:
            ConfigError: `n_heads` is no divisor of `size`.
        """
        if size % n_heads:
            raise ConfigError(f"TransformerAgent: n_heads: a divisor of size = {size} expected, {n_heads} found.")
        #: How many frames the features depend on, besides the present one.
        self.reach = n_layers * (window - 1)
        super().__init__(input_size, size, {"inputs": [self.reach, input_size], "count": []}, **options)
        self.embedding = orthogonal(nn.Linear(input_size, size), math.sqrt(2))
        gain = 1 / math.sqrt(2 * n_layers)
        self.layers = nn.ModuleList(AttentionLayer(size, n_heads, window, gain) for _ in range(n_layers))
        self.norm = nn.LayerNorm(size)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the features `[B, size]` of inputs `[B, input_size]`, and the state after them."""
        known = torch.cat((state["inputs"].to(inputs.dtype), inputs.unsqueeze(1)), 1)
        count = state["count"]
        features = self._features(known, self._episodes(count, count.new_zeros((len(count), 1), dtype=torch.bool)))
        return features[:, 0], {"inputs": known[:, 1:], "count": (count + 1).clamp(max=self.reach)}

    def sequence(self, inputs: Tensor, begins: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the features of all steps, `[T, B, size]`, and the state after each: see `MemoryAgent`."""
        known = torch.cat((state["inputs"].to(inputs.dtype), inputs.transpose(0, 1)), 1)
        features = full_precision(self._features(known, self._episodes(state["count"], begins.t())))
        # Views of what is known, which takes no memory for what nobody may ask for.
        kept = full_precision(known).unfold(1, self.reach, 1)[:, 1:].permute(1, 0, 3, 2)
        return features.transpose(0, 1), {"inputs": kept, "count": self._counts(state["count"], begins)}

    def _features(self, known: Tensor, episode: Tensor) -> Tensor:
        """Return `[B, T, size]` of the last `reach + T` inputs, `[B, reach + T, input_size]`, and their episodes."""
        hidden: Any = self.embedding(known)
        for layer in self.layers:
            hidden = layer(hidden, episode[:, -hidden.shape[1] :])
        features: Tensor = self.norm(hidden)
        return features

    def _episodes(self, count: Tensor, begins: Tensor) -> Tensor:
        """Return numbers of the episodes, `[B, reach + T]`, given where they begin, `[B, T]`; -1 before all of them."""
        places = torch.arange(self.reach, 0, -1, device=count.device)
        old = torch.where(places > count.unsqueeze(1), -1, 0)
        return torch.cat((old, begins.cumsum(1)), 1)

    def _counts(self, count: Tensor, begins: Tensor) -> Tensor:
        """Return how many of the inputs kept at each step belong to the step's episode, `[T, B]`."""
        steps = torch.arange(1, len(begins) + 1, device=count.device, dtype=count.dtype).unsqueeze(1)
        # What has to be taken off the steps so far: the number of them at the last beginning.
        started = torch.where(begins, steps - 1, -count).cummax(0).values
        return (steps - started).clamp(max=self.reach)
