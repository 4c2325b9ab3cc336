"""Whole runs whose collectors have processes of their own: they end as those in the learner's process do."""

import os
import signal

import pytest

from tests.collectors.test_fleet import a_run, outcome, trained
from workspace_rl.algos import PPO, SAC
from workspace_rl.machine.interrupts import Stopped


def kill_one_and_stop(run, kill_at, stop_at):
    """Let a run lose its first collector before an update, and be stopped before another one."""
    learn, make_parts, made = run.learn, run.make_parts, []

    def parts():
        made.extend(make_parts())
        return tuple(made)

    def learning(batch):
        if run.n_updates == kill_at:
            where = made[1]._place.where(0)
            os.kill(int(where.removeprefix("process ")), signal.SIGKILL)
        if run.n_updates == stop_at:
            raise Stopped
        return learn(batch)

    run.learn, run.make_parts = learning, parts


@pytest.mark.parametrize(
    ("algorithm", "lag", "first", "then"), [(PPO, 0, "local", "process"), (SAC, 1, "process", "local")]
)
def test_a_run_goes_on_elsewhere_and_loses_a_collector_without_a_difference(algorithm, lag, first, then, tmp_path):
    # Statistics, float64 buffers, go to the collectors with the weights.
    options = {"n": 2, "lag": lag, "normalize": True, "memory": True}
    expected = trained(tmp_path / "whole", algorithm, **options)
    run = a_run(tmp_path / "run", algorithm, where=first, **options)
    kill_one_and_stop(run, 20 if first == "local" else -1, 60)
    if first == "local":
        with pytest.warns(UserWarning, match=r"collector 0 \(process \d+\) failed at its fragment .* by signal 9"):
            run.train(progress=False)
    else:
        run.train(progress=False)
    assert outcome(tmp_path / "run") != expected
    run = algorithm.restore(tmp_path / "run", [f"collectors.where={then}"])
    if then == "local":
        kill_one_and_stop(run, 70, -1)
        with pytest.warns(UserWarning, match="by signal 9"):
            run.train(progress=False)
    else:
        run.train(progress=False)
    assert outcome(tmp_path / "run") == expected
