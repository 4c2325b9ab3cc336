"""What many collectors can give: a model of two numbers, which are measured while a run trains."""

from __future__ import annotations

from dataclasses import dataclass

#: Steps of a block below which sending it costs more than it brings, unless simulators are slow.
LEAST_STEPS = 8


class ScalingWarning(UserWarning):
    """Says that many collectors cannot pay as a run is configured, and what can be done."""


@dataclass(frozen=True)
class Scaling:
    """How long a fragment occupies a collector, and how long the learner."""

    #: Transitions of a fragment.
    steps: float
    #: Seconds that a collector takes for one.
    collecting: float
    #: Seconds of the learner for one: its updates, and what it takes to receive, store and order it.
    learning: float
    #: Whether collectors work beside each other, and beside the learner.
    parallel: bool = True
    overlapping: bool = True

    @property
    def useful(self) -> float:
        """How many collectors keep the learner busy: more of them wait for it.

        The same as updates/s x batch / (samples per insert x steps/s of a collector), for a learner that does nothing
        but updates.
        """
        return self.collecting / self.learning

    def steps_per_second(self, n: float) -> float:
        """Return the steps per second that `n` collectors give together."""
        collecting = self.collecting if self.parallel else n * self.collecting
        learning = n * self.learning
        return n * self.steps / (max(collecting, learning) if self.overlapping else collecting + learning)

    @property
    def limit(self) -> float:
        """The steps per second that however many collectors cannot exceed."""
        return self.steps / (self.learning if self.parallel else self.learning + self.collecting)


@dataclass(frozen=True)
class Measured:
    """What was measured of a fleet, by which it is judged."""

    n: int
    scaling: Scaling
    #: Seconds of the learner's thread for receiving and ordering a fragment, within `scaling.learning`.
    handling: float
    #: The part of a processor that a collector uses while it collects, from 0 to 1 or more.
    busy: float
    #: Processors that collectors and learner share; 0 where that is not known, as on a cluster.
    processors: int

    def estimate(self) -> str:
        """Return in one line what the learner can use."""
        one = self.scaling
        return (
            f"collectors: a fragment of {_steps(one.steps)} takes a collector {_time(one.collecting)}, and the "
            f"learner {_time(one.learning)} with its updates: it can use about {_number(one.useful)}. "
            f"{self.n} give about {one.steps_per_second(self.n):,.0f} steps/s; the learner's limit is {one.limit:,.0f}."
        )

    def advice(self) -> list[str]:
        """Return where scaling cannot pay, and what can be done, one text for each reason."""
        if not self.scaling.parallel:
            return []
        found = (self._too_many(), self._too_small(), self._too_few_processors())
        return [one for one in found if one is not None]

    def _too_many(self) -> str | None:
        one, fewer = self.scaling, max(1, round(self.scaling.useful))
        if self.n <= max(1.3 * one.useful, 1):
            return None
        return (
            f"{self.n} collectors are more than the learner can use, about {_number(one.useful)}: a fragment takes a "
            f"collector {_time(one.collecting)}, and the learner {_time(one.learning)}. collectors.n={fewer} is about "
            "as fast. Fewer updates for each step (algorithm.updates_per_collect, collectors.samples_per_insert), "
            "smaller batches, compile=true or a GPU (device=cuda) make room for more."
        )

    def _too_small(self) -> str | None:
        one = self.scaling
        share = self.handling * self.n / one.collecting
        if share < 0.5:
            return None
        return (
            f"blocks of {_steps(one.steps)} are too small for {self.n} collectors: receiving and ordering one takes "
            f"the learner {_time(self.handling)}, collecting it {_time(one.collecting)}, so that {share:.0%} of the "
            "learner's time would go into blocks. Larger ones cost hardly more: raise algorithm.n_steps or "
            "algorithm.n_envs, and algorithm.updates_per_collect by the same factor."
        )

    def _too_few_processors(self) -> str | None:
        if not 0 < self.processors < self.n or self.n * self.busy < 0.8 * self.processors:
            return None
        return (
            f"{self.n} collectors share {self.processors} processor{'s' if self.processors > 1 else ''}, and their "
            f"environments and policies keep these busy: more than {self.processors} add nothing. "
            f"collectors.n={self.processors} is about as fast; collectors.where=ray takes them to other machines."
        )


def advice_on_blocks(n_steps: int, updates_per_fragment: float | None) -> str | None:
    """Return what there is to say of fragments of so many steps that are to be sent to the learner, before any is.

    Args:
        n_steps: steps of each environment in a fragment.
        updates_per_fragment: None where a fragment has no number of its own.
    """
    if n_steps >= LEAST_STEPS:
        return None
    factor = -(-LEAST_STEPS // n_steps)
    more = "" if updates_per_fragment is None else f" algorithm.updates_per_collect={updates_per_fragment * factor:g}"
    return (
        f"blocks of {_steps(n_steps)} (algorithm.n_steps) are sent one by one: below "
        f"{LEAST_STEPS}, that costs about as much as it brings, unless a step takes milliseconds. "
        f"algorithm.n_steps={n_steps * factor}{more} sends the same in fewer blocks."
    )


def _time(seconds: float) -> str:
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def _steps(n: float) -> str:
    return "1 step" if round(n) == 1 else f"{n:,.0f} steps"


def _number(value: float) -> str:
    if value < 1:
        return f"{value:.2g}"
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"
