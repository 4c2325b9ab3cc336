"""A run that is killed at any moment and resumed ends exactly as one that was not.

Two kills; with `make robustness` 24, over SAC and DQN, eager and compiled, environments in one process and in several.
"""

import itertools
import random

import pytest
from hypothesis import settings

from tests.robustness.killed_runs import SMALL, differences, finish, kill_somewhere, start

#: (configuration, compile, vectorization, kills, how many of them while a checkpoint is written).
CASES = (
    [
        (config, compile, vectorization, 3, 1)
        for config, compile, vectorization in itertools.product(
            ("sac/cartpole_continuous", "dqn/cartpole"), ("false", "true"), ("sync", "async")
        )
    ]
    if settings.get_current_profile_name() == "full"
    else [("sac/cartpole_continuous", "false", "sync", 1, 1), ("dqn/cartpole", "true", "async", 1, 0)]
)


@pytest.mark.parametrize("config, compile, vectorization, kills, while_writing", CASES)
def test_a_killed_run_ends_as_if_nothing_had_happened(
    config, compile, vectorization, kills, while_writing, tmp_path, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    options = (*SMALL, f"compile={compile}", f"gym_env.vectorization={vectorization}")
    finish(start("train", config, f"base_dir={tmp_path / 'whole'}", *options))
    rng = random.Random(f"{config} {compile} {vectorization}")
    for kill in range(kills):
        run = tmp_path / f"killed{kill}"
        wanted = kill < while_writing
        was_writing = kill_somewhere(
            start("train", config, f"base_dir={run}", *options), run, rng, while_writing=wanted
        )
        assert was_writing or not wanted
        finish(start("resume", str(run)))
        assert differences(run, tmp_path / "whole") == []
