"""What all encoders have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from workspace_rl.agent import Agent
from workspace_rl.agents.networks import full_precision
from workspace_rl.envs.spaces.parts import Part, as_parts
from workspace_rl.errors import CompositionError


class Encoder(Agent):
    """Base class of agents that make one vector of features of the parts of an observation.

    Reads the variable of each part at `t`, `[B, *shape]`; writes `<prefix><features_variable>` (`[B, n_features]`).
    With `t=None` it does so over all of time at once, `[T, B, ...]`. The prefix is empty until `with_prefix`
    changes it.

    A subclass sets `n_features` when it is built, and implements `encode`:

        class Sum(Encoder):
            def __init__(self, parts, scale=1.0, **options):
                super().__init__(parts, **options)
                self.n_features, self.scale = 1, scale

            def encode(self, observation, leading):
                return self.scale * sum(part.flatten(leading).sum(-1, keepdim=True) for part in observation.values())
    """

    #: How many features there are.
    n_features: int

    def __init__(
        self,
        parts: Sequence[Mapping[str, Any]],
        *,
        features_variable: str = "features",
        name: str | None = None,
    ) -> None:
        """Take what is to be encoded.

        Args:
            parts: what is read, as `GymAgent.observation_parts` gives it: for each part its `variable`, its `kind`
                ("picture", "choices" or "numbers"), its `shape`, and least value and count of its `choices`.
            features_variable: what is written.
            name: the agent's name.

        Raises:
            CompositionError: `parts` are not of this form.
        """
        super().__init__(name)
        self.parts: list[Part] = as_parts(parts)
        self.features_variable = features_variable

    @abstractmethod
    def encode(self, observation: dict[str, Tensor], leading: int) -> Tensor:
        """Return features, `[*L, n_features]`.

        Args:
            observation: the parts by their variables, each `[*L, *shape]` in the dtype of its space.
            leading: how many dimensions L has: 1 at a step (`[B]`), 2 over all of time (`[T, B]`).
        """
        raise CompositionError(
            f"{self.description()} does not say what its features are: implement encode(self, observation, leading) in "
            f"{type(self).__name__}."
        )

    def forward(self, t: int | None = None, **kwargs: Any) -> None:
        """Encode the observations of step `t`, or all of them."""
        observation = {part["variable"]: self.get(part["variable"], t) for part in self.parts}
        features = self.encode(observation, 2 if t is None else 1)
        self.set(f"{self.prefix}{self.features_variable}", t, full_precision(features))
