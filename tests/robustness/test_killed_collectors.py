"""Collectors of free mode are killed at any moment: the run goes on, and no fragment is lost or comes twice.

Two kills; with `make robustness` 20, each in a run of its own.
"""

import os
import random
import re
import signal
import warnings

import pytest
from hypothesis import settings

from tests.collectors.numbered_env import ENV, frames_by_environment
from tests.collectors.test_free_runs import WatchedSAC, config
from workspace_rl.machine.interrupts import Stopped

KILLS = 20 if settings.get_current_profile_name() == "full" else 2


class Killing(WatchedSAC):
    """Kills the process of a collector between two updates, and ends once that one has handed over `n_more` more."""

    kill_at, victim, n_more = 0, 0, 3
    n_before = None

    def make_parts(self):
        experience, self.collectors = super().make_parts()
        return experience, self.collectors

    def learn(self, batch):
        """Learn as usual."""
        if self.n_updates >= self.kill_at and self.n_before is None:
            (pid,) = re.findall(r"process (\d+)", self.collectors._place.where(self.victim))
            os.kill(int(pid), signal.SIGKILL)
            self.n_before = len(self.experience.fragments)
        elif self.n_before is not None and self.n_new() >= self.n_more:
            raise Stopped
        return super().learn(batch)

    def n_new(self):
        """Return how many fragments of new environments the collector has handed over since it was killed."""
        later = [one for one in self.experience.fragments[self.n_before :] if one.collector == self.victim]
        first = next((k for k, one in enumerate(later) if one.begins_anew), len(later))
        return len(later) - first


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_collector_that_is_killed_takes_nothing_along_but_what_it_had_not_delivered(seed, tmp_path):
    rng = random.Random(seed)
    endless = {"total_steps": 10**6, "nb_evals": 0, "checkpoint_interval": None}
    run = Killing(config(tmp_path / "run", ENV, collectors={"n": 2, "where": "local"}, **endless))
    run.kill_at, run.victim = rng.randrange(1, 100), rng.randrange(2)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        steps = run.train(progress=False).steps
    (warning,) = (str(one.message) for one in warned if "is started again" in str(one.message))
    assert re.match(rf"collector {run.victim} \(process \d+\) failed at its fragment \d+", warning)
    fragments, counters = run.experience.fragments, run.experience.limiter.limiter
    assert steps == counters.inserts == sum(one.n_transitions for one in fragments)
    assert counters.samples == 16 * run.n_updates
    handed_over = [(one.collector, one.number) for one in fragments]
    assert len(set(handed_over)) == len(handed_over)
    frames = frames_by_environment(fragments)
    # Those of the one that was killed are new, and the old ones among them if it had delivered anything by then.
    assert len(frames) == 2 * sum(one.begins_anew for one in fragments) and len(frames) in (4, 6)
    for numbers in frames.values():
        assert numbers == list(range(len(numbers)))
    # Of the others nothing is missing; of the one that was killed what it had been ordered.
    for collector in range(2):
        numbers = [number for one, number in handed_over if one == collector]
        missing = set(range(numbers[-1])) - set(numbers)
        assert numbers == sorted(numbers) and len(missing) <= (2 if collector == run.victim else 0)
