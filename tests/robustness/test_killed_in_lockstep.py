"""Runs with many collectors, one of which is killed at any moment, or the learner: they end as if nothing had been.

Two of each; with `make robustness` 20, over SAC with and without memory and DQN, one, two and four collectors, both
lags. What they are compared with is collected in the learner's process.
"""

import itertools
import os
import random
import signal
import time
from pathlib import Path

import pytest
from hypothesis import settings

from tests.robustness.killed_runs import SMALL, differences, finish, kill_somewhere, start

LENGTH = (
    "algorithm.total_steps=3000",
    "algorithm.checkpoint_interval=300",
    "algorithm.learning_starts=100",
    "algorithm.updates_per_collect=2",
    "logger.log_interval=50",
)

MEMORY = "sac/cartpole_continuous algorithm.architecture.memory.kind=gru algorithm.architecture.memory.size=8"
MEMORY += " algorithm.sequence_length=4 algorithm.burn_in=2 algorithm.updates_per_collect=1"
#: (configuration, collectors, lag).
FULL = list(itertools.product((MEMORY, "sac/cartpole_continuous", "dqn/cartpole"), (1, 2, 4), (0, 1)))
CASES = (
    [(*FULL[number % len(FULL)], number) for number in range(20)]
    if settings.get_current_profile_name() == "full"
    else [(MEMORY, 2, 0, 0), ("dqn/cartpole", 2, 1, 1)]
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Runs that nothing happens to, each made when it is first asked for."""
    folder, known = tmp_path_factory.mktemp("whole"), {}

    def run(config, n, lag):
        if (config, n, lag) not in known:
            known[config, n, lag] = folder / str(len(known))
            finish(start("train", *options(config, n, lag, "process", known[config, n, lag])))
        return known[config, n, lag]

    return run


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def options(config, n, lag, where, folder):
    collectors = (f"collectors.n={n}", f"collectors.lag={lag}", f"collectors.where={where}")
    name, *more = config.split()
    return (name, f"base_dir={folder}", *SMALL, *LENGTH, *more, *collectors, "compile=false")


def processes_of(learner):
    """Return the processes of its collectors."""
    found = []
    for file in Path(f"/proc/{learner}/task").glob("*/children"):
        for pid in map(int, file.read_text().split()):
            if b"worker_loop" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def kill_collectors(learner, run, rng):
    """Kill one of a learner's collectors, twice, at random moments; return how often that was."""
    killed = 0
    for moment in sorted(rng.sample(range(1, 400), 2)):
        while learner.poll() is None and n_rows(run) < moment:  # some 650 are measured in a run
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        found = processes_of(learner.pid)
        if learner.poll() is None and found:
            os.kill(rng.choice(found), signal.SIGKILL)
            killed += 1
    return killed


def n_rows(run):
    return len((run / "metrics.csv").read_text().splitlines()) if (run / "metrics.csv").exists() else 0


@pytest.mark.parametrize(("config", "n", "lag", "number"), CASES)
def test_a_run_whose_collectors_are_killed_ends_as_one_in_the_learners_process(config, n, lag, number, whole, tmp_path):
    run = tmp_path / "run"
    learner = start("train", *options(config, n, lag, "local", run))
    killed = kill_collectors(learner, run, random.Random(number))
    said = finish(learner)
    assert killed and said.count("is started again") >= 1
    assert differences(run, whole(config, n, lag)) == []


@pytest.mark.parametrize(("config", "n", "lag", "number"), CASES)
def test_a_killed_learner_goes_on_with_collectors_elsewhere(config, n, lag, number, whole, tmp_path):
    run, rng = tmp_path / "run", random.Random(number)
    first, then = rng.sample(["local", "process"], 2)
    learner = start("train", *options(config, n, lag, first, run))
    kill_somewhere(learner, run, rng, while_writing=False)
    finish(start("resume", str(run), f"collectors.where={then}"))
    assert differences(run, whole(config, n, lag)) == []
