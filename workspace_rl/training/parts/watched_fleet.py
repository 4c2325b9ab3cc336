"""Collectors that are watched: what they are doing is shown and logged, and where more cannot pay is told."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from statistics import median

from workspace_rl.agent import Agent
from workspace_rl.collectors.driver import Collectors, CollectorsStatus
from workspace_rl.collectors.scaling import Measured, Scaling, ScalingWarning, advice_on_blocks
from workspace_rl.config.collectors_config import CollectorsConfig
from workspace_rl.config.training_config import OffPolicyConfig, TrainingConfig
from workspace_rl.experience.fragment import Fragment
from workspace_rl.machine.processes import n_processors
from workspace_rl.training.parts.progress import Progress

#: Groups of turns of the loop that are measured before the fleet is judged; the first is left out, since it compiles.
_GROUPS = 9
#: Seconds before which what was measured since the last log says little.
_SHORT = 2.0
DISCARDED = "collectors/discarded"


class WatchedFleet:
    """Collectors, of which is measured how fast they and the learner are. What they do does not depend on it."""

    def __init__(
        self,
        collectors: Collectors,
        config: CollectorsConfig,
        parameters: TrainingConfig,
        progress: Progress,
        *,
        keep: Callable[[Mapping[str, object]], None],
    ) -> None:
        """Watch `collectors`.

        A `ScalingWarning` says where more collectors cannot pay: of small blocks at once, of the rest when it has been
        measured.

        Args:
            collectors: those that collect.
            config: what they were made by.
            parameters: how large fragments are, and how much is learned from each.
            progress: where the run stands.
            keep: takes what is kept of them at the end.
        """
        self.collectors, self._config, self._progress = collectors, config, progress
        self._keep = keep
        self._began, self._first = time.perf_counter(), progress.steps
        self._stretch = _Stretch(self._began, progress.steps)
        self._before: _Stretch | None = None
        self._judge: _Judge | None = _Judge(config, parameters)
        self._block, self._batch = parameters.n_envs * parameters.n_steps, getattr(parameters, "batch_size", 0)
        self._told_discarded = config.max_weights_age is None
        #: What was measured, once it was.
        self.measured: Measured | None = None
        #: Is told the estimate of what the learner can use.
        self.tell: Callable[[str], None] = lambda text: None
        updates = parameters.updates_per_collect if isinstance(parameters, OffPolicyConfig) else None
        advice = advice_on_blocks(parameters.n_steps, updates) if config.where != "process" else None
        if advice is not None:
            warnings.warn(advice, ScalingWarning, stacklevel=2)

    # ---- as the loop asks of collectors -----------------------------------------------------------------------------

    def start(self) -> None:
        """Start the collectors."""
        self.collectors.start()

    def collect(self, step: int) -> list[Fragment]:
        """Return the next fragments."""
        began, used = time.perf_counter(), time.thread_time()
        fragments = self.collectors.collect(step)
        ended = time.perf_counter()
        self._stretch.waited += ended - began
        self._stretch.worked += sum(one.effort.seconds for one in fragments if one.effort is not None)
        if self._judge is not None:
            self._judge.turn(began, ended, time.thread_time() - used, fragments, self._progress.n_updates)
            self._tell_once()
        return fragments

    def load_policy(self, learner_policy: Agent, version: int) -> None:
        """Hand the weights on."""
        self.collectors.load_policy(learner_policy, version)

    def renew(self, n_transitions: int, *, resumed: bool) -> None:
        """Begin new episodes."""
        self.collectors.renew(n_transitions, resumed=resumed)

    def status(self) -> CollectorsStatus:
        """Return how they are doing."""
        return self.collectors.status()

    def close(self) -> None:
        """Close the environments."""
        self.collectors.close()

    # ---- what is shown and logged -----------------------------------------------------------------------------------

    def texts(self) -> dict[str, str]:
        """Return what is shown beside the progress bar."""
        status = self.status()
        stretch = self._before if self._stretch.seconds() < _SHORT and self._before else self._stretch
        texts = {
            "collectors": f"{status.alive}/{status.n}",
            "restarts": f"{status.restarts:,}",
            "waits": f"learner {stretch.learner_waits():.0%} collectors {stretch.collectors_wait(status.n):.0%}",
        }
        if discarded := int(status.details.get(DISCARDED, 0)):
            texts["discarded"] = f"{discarded:,}"
        if held := self._held_by_limiter(status):
            texts["limiter"] = f"holds {held}"
        return texts

    def scalars(self) -> dict[str, float]:
        """Return numbers for TensorBoard by their names, those of the time since the last call."""
        self._tell_of_discarded()
        status, stretch = self.status(), self._stretch
        scalars = {
            "collectors/alive": status.alive,
            "collectors/restarts": status.restarts,
            "collectors/steps_per_second": stretch.speed(self._progress.steps),
            "collectors/learner_waits": stretch.learner_waits(),
            "collectors/wait": stretch.collectors_wait(status.n),
            **status.details,
        }
        if self.measured is not None:
            scalars["collectors/useful"] = self.measured.scaling.useful
        stretch.end()
        self._before, self._stretch = stretch, _Stretch(time.perf_counter(), self._progress.steps)
        return scalars

    def keep(self) -> None:
        """Keep how these collectors did, in all."""
        status, seconds = self.status(), time.perf_counter() - self._began
        config, steps = self._config, self._progress.steps - self._first
        figures = {
            "from_step": self._first,
            "to_step": self._progress.steps,
            "n": status.n,
            "where": config.where,
            "mode": config.mode if config.mode == "free" else f"{config.mode}, lag {config.lag}",
            "restarts": status.restarts,
            "steps_per_second": round(steps / seconds, 1),
            **{name: round(float(value), 3) for name, value in status.details.items()},
        }
        self._keep(figures)

    def _held_by_limiter(self, status: CollectorsStatus) -> str:
        """Return whom the limiter lets wait; nothing where there is none."""
        room = status.details.get("limiter/may_insert")
        if room is None:
            return ""
        if room < self._block:
            return "collectors"
        return "learner" if status.details["limiter/may_sample"] < self._batch else "nobody"

    def _tell_of_discarded(self) -> None:
        if not self._told_discarded and self.status().details.get(DISCARDED):
            self._told_discarded = True
            self.tell(
                f"fragments whose weights are more than collectors.max_weights_age = {self._config.max_weights_age} "
                "updates old are thrown away; from now on they are only counted."
            )

    def _tell_once(self) -> None:
        measured = None if self._judge is None else self._judge.verdict()
        if measured is None:
            return
        self.measured, self._judge = measured, None
        self.tell(measured.estimate())
        for advice in measured.advice():
            warnings.warn(advice, ScalingWarning, stacklevel=3)


class _Stretch:
    """What was measured since a point in time."""

    def __init__(self, began: float, steps: int) -> None:
        self._began, self._steps = began, steps
        self._ended: float | None = None
        #: Seconds in which the learner waited for fragments, and those that collectors took for these, of all together.
        self.waited = self.worked = 0.0

    def end(self) -> None:
        self._ended = time.perf_counter()

    def speed(self, steps: int) -> float:
        return (steps - self._steps) / self.seconds()

    def learner_waits(self) -> float:
        return min(1.0, self.waited / self.seconds())

    def collectors_wait(self, n: int) -> float:
        return max(0.0, 1 - self.worked / (n * self.seconds()))

    def seconds(self) -> float:
        return max(1e-9, (time.perf_counter() if self._ended is None else self._ended) - self._began)


class _Judge:
    """Measures a few turns of the loop, in groups that hold at least one update each."""

    def __init__(self, config: CollectorsConfig, parameters: TrainingConfig) -> None:
        self._config = config
        n = getattr(parameters, "updates_per_collect", 1.0)
        #: Fragments of a group, by which each has about the same updates.
        self._least = max(1, round(1 / n))
        self._ended: float | None = None
        self._n_updates = 0
        self._group: list[Fragment] = []
        self._learning = self._handling = 0.0
        #: Of each group, by fragment: seconds of learning, of handling, of collecting, of processors, and transitions.
        self._groups: list[tuple[float, float, float, float, float]] = []
        self._pending: list[Fragment] = []

    def turn(self, began: float, ended: float, used: float, fragments: list[Fragment], n_updates: int) -> None:
        """Note that fragments came from `began` to `ended`, for which the learner's thread worked `used` seconds.

        What lies between the end of the turn before and `began` is what was done with that one's fragments.
        """
        if self._ended is not None and n_updates > 0:
            self._learning += began - self._ended
            self._group += self._pending
            if len(self._group) >= self._least and n_updates > self._n_updates:
                self._close_group(n_updates)
        self._handling += used
        self._ended, self._pending = ended, fragments

    def verdict(self) -> Measured | None:
        """Return what was measured, None before that is enough."""
        if len(self._groups) <= _GROUPS:
            return None
        learning, handling, collecting, busy, steps = map(median, zip(*self._groups[1:], strict=True))
        parallel = self._config.where != "process"
        scaling = Scaling(
            steps=steps,
            collecting=max(collecting, 1e-9),
            learning=max(learning + (handling if parallel else 0), 1e-9),
            parallel=parallel,
            overlapping=parallel and (self._config.mode == "free" or self._config.lag > 0),
        )
        processors = n_processors() if self._config.where == "local" else 0
        return Measured(self._config.n, scaling, handling, busy / scaling.collecting, processors)

    def _close_group(self, n_updates: int) -> None:
        efforts = [one.effort for one in self._group if one.effort is not None]
        if efforts:
            n = len(self._group)
            self._groups.append((
                self._learning / n,
                self._handling / n,
                median(one.seconds for one in efforts),
                median(one.processor_seconds for one in efforts),
                sum(one.n_transitions for one in self._group) / n,
            ))  # fmt: skip
        self._group, self._learning, self._handling, self._n_updates = [], 0.0, 0.0, n_updates
