"""What the loop asks of collectors, however many there are and wherever they live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from workspace_rl.agent import Agent
from workspace_rl.errors import CompositionError
from workspace_rl.experience.collector import Collecting
from workspace_rl.experience.fragment import Fragment


@dataclass(frozen=True)
class CollectorsStatus:
    """How collectors are doing."""

    n: int = 1
    alive: int = 1
    #: How often one of them was started again.
    restarts: int = 0
    #: What else there is to tell, numbers by the names of metrics.
    details: Mapping[str, float] = field(default_factory=dict)


class Collectors(Protocol):
    """Gives the loop what was collected."""

    def start(self) -> None:
        """Start the collectors, wherever they are to live; nothing of the run has been written yet.

        Raises:
            CollectorError: there is no room for them, or the place cannot be reached.
        """

    def collect(self, step: int) -> list[Fragment]:
        """Return the next fragments, those of one turn of the loop, after `step` transitions in all."""

    def load_policy(self, learner_policy: Agent, version: int) -> None:
        """Act with the weights of `learner_policy` from now on, which update number `version` has made."""

    def renew(self, n_transitions: int, *, resumed: bool) -> None:
        """Begin new episodes, always the same ones after `n_transitions` transitions: a checkpoint was written.

        Args:
            n_transitions: transitions in all.
            resumed: whether the run goes on from there in a new program.
        """

    def status(self) -> CollectorsStatus:
        """Return how they are doing."""

    def close(self) -> None:
        """Close the environments."""


class OneCollector:
    """The one collector of a run without a section `collectors`: it draws from the run's own random numbers."""

    def __init__(self, collector: Collecting, n_steps: int, random_steps: int) -> None:
        """Let `collector` collect fragments of `n_steps` steps, by random actions for the first `random_steps`."""
        self.collector, self._n_steps, self._random_steps = collector, n_steps, random_steps

    def start(self) -> None:
        """It is here already."""

    def collect(self, step: int) -> list[Fragment]:
        """Return its next fragment.

        Raises:
            CompositionError: it returns something else.
        """
        fragment = self.collector.collect(self._n_steps, step=step, random=step < self._random_steps)
        if not isinstance(fragment, Fragment) or fragment.n_transitions < 0:
            raise CompositionError(
                f"{type(self.collector).__name__}.collect returns a {type(fragment).__name__} of which nobody has "
                "counted the transitions: Fragment(frames, n_transitions=...) is expected."
            )
        return [fragment]

    def load_policy(self, learner_policy: Agent, version: int) -> None:
        """Hand the weights on."""
        self.collector.load_policy(learner_policy, version)

    def renew(self, n_transitions: int, *, resumed: bool) -> None:
        """Begin new episodes in new environments."""
        self.collector.renew(n_transitions)

    def status(self) -> CollectorsStatus:
        """Return that there is one."""
        return CollectorsStatus()

    def close(self) -> None:
        """Close its environments."""
        self.collector.close()
