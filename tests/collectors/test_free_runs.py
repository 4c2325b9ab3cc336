"""Whole runs in free mode, whose collectors are in the learner's process."""

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from tests.collectors.numbered_env import ENV, FAILING_ENV, frames_by_environment, require_true_windows
from workspace_rl import Run
from workspace_rl.algos import DQN, SAC
from workspace_rl.errors import CollectorError, ConfigError
from workspace_rl.experience import ExperienceWrapper, Replay

ROOT = Path(__file__).parents[2]
SMALL = {
    "total_steps": 480, "learning_starts": 60, "n_envs": 2, "n_steps": 4, "nb_evals": 1, "batch_size": 16,
    "eval_interval": 300, "checkpoint_interval": 160, "final_episodes": 0, "updates_per_collect": 2,
}  # fmt: skip


class Watched(ExperienceWrapper):
    """Notes what is put, and looks at each batch."""

    def __init__(self, inner, run):
        super().__init__(inner)
        self.run, self.fragments, self.ages = run, [], []

    def put(self, fragment):
        self.fragments.append(fragment)
        self.ages.append(self.run.n_updates - fragment.version)
        super().put(fragment)

    def batches(self):
        for batch in super().batches():
            require_true_windows(batch)
            yield batch


class WatchedSAC(SAC):
    """SAC whose experience is at hand."""

    def make_experience(self):
        self.experience = Watched(super().make_experience(), self)
        return self.experience


def config(path, env="Pendulum-v1", algorithm=SAC, collectors=(), **changes):
    sizes = {"actor_hidden_size": [8], "critic_hidden_size": [8]} if algorithm is not DQN else {"hidden_size": [8]}
    return {
        "gym_env": {"env_name": env},
        "algorithm": SMALL | {"architecture": sizes} | changes,
        "logger": {"log_interval": 80, "save_tensorboard": False},
        "collectors": {"n": 3, "mode": "free", **dict(collectors)},
        "record_best": False, "compile": False, "base_dir": str(path),
    }  # fmt: skip


@pytest.mark.parametrize(("algorithm", "env"), [(SAC, "Pendulum-v1"), (DQN, "CartPole-v1")])
def test_as_much_is_learned_as_updates_per_collect_asks_for(algorithm, env, tmp_path):
    run = algorithm(config(tmp_path / "run", env, algorithm))
    result = run.train(progress=False)
    assert 480 <= result.steps < 480 + 3 * 2 * 8
    assert run.n_updates == pytest.approx((result.steps - 60) / 8 * 2, abs=2)


@pytest.mark.parametrize(("samples_per_insert", "learning_starts"), [(1, 60), (12, 60), (4, 1)])
def test_as_much_is_learned_as_samples_per_insert_says(samples_per_insert, learning_starts, tmp_path):
    ratio = {"samples_per_insert": samples_per_insert}
    run = SAC(config(tmp_path / "run", collectors=ratio, learning_starts=learning_starts))
    assert run.planned_updates() == (480 - learning_starts) * samples_per_insert // 16
    result = run.train(progress=False)
    expected = (result.steps - learning_starts) * samples_per_insert / 16
    # One batch ahead; what came in the last turn was not learned from in full.
    assert expected - 6 * 8 * samples_per_insert / 16 - 1 <= run.n_updates <= expected + 1


def test_no_frame_is_lost_doubled_or_joined_falsely(tmp_path):
    run = WatchedSAC(config(tmp_path / "run", ENV))
    run.train(progress=False)
    frames = frames_by_environment(run.experience.fragments)
    assert len(frames) == 6
    for numbers in frames.values():
        assert numbers == list(range(len(numbers)))
    assert min(map(len, frames.values())) >= 480 / 6


def test_nor_where_environments_fail(tmp_path):
    given = config(tmp_path / "run", FAILING_ENV)
    given["gym_env"]["env_args"] = {"fails_at": 30, "one_in": 2}
    run = WatchedSAC(given)
    with pytest.warns(UserWarning, match=r"collector \d .in the learner's process. failed .*frame 30 of"):
        run.train(progress=False)
    fragments = run.experience.fragments
    frames = frames_by_environment(fragments)
    assert len(frames) > 6  # some were made anew, by new seeds
    for numbers in frames.values():
        assert numbers == list(range(len(numbers)))
    handed_over = [(one.collector, one.number) for one in fragments]
    assert len(set(handed_over)) == len(handed_over)


def test_an_environment_that_cannot_be_made_ends_the_run_by_its_text(tmp_path):
    given = config(tmp_path / "run", FAILING_ENV)
    given["gym_env"]["env_args"] = {"fails_at": 2, "one_in": 1}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "collector .* failed at its fragment")
        with pytest.raises(CollectorError, match=r"(?s)seed 1, fragment 0. has failed, and 4 .* = 3 allows.*frame 2"):
            SAC(given, ["collectors.max_restarts=3"]).train(progress=False)


class Unlimited(SAC):
    """Its experience knows no limiter."""

    def make_experience(self):
        usual = super().make_experience()
        return Replay(usual.buffer, batch_size=16)


def test_an_experience_without_a_limiter_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="has no limiter.*Use lockstep, or derive it from Replay"):
        Unlimited(config(tmp_path / "run")).train(progress=False)
    assert not (tmp_path / "run").exists()


KILLED = """
import os, signal
from tests.collectors.test_free_runs import SAC, config

run = SAC(config({path!r}))
learn = run.learn

def until_it_is_killed(batch):
    if run.n_updates == 75:
        os.kill(os.getpid(), signal.SIGKILL)
    return learn(batch)

run.learn = until_it_is_killed
run.train(progress=False)
"""


def test_a_learner_that_is_killed_goes_on_with_its_counters(tmp_path):
    path = tmp_path / "run"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-W", "ignore", "-c", KILLED.format(path=str(path))]
    assert subprocess.run(program, cwd=ROOT, env=environment).returncode == -signal.SIGKILL
    checkpoint = Run(path).checkpoints.newest()
    kept = checkpoint.state["buffer"]["limiter"]
    assert kept["inserts"] == checkpoint.step >= 160 and kept["deletes"] == 0
    assert kept["samples"] == 16 * checkpoint.state["loop"]["n_updates"] > 0

    run = SAC.restore(path)
    experiences = []
    make = run.make_experience
    run.make_experience = lambda: experiences.append(make()) or experiences[0]
    steps = run.train(progress=False).steps
    counters = experiences[0].limiter.limiter
    assert steps >= 480 and (counters.inserts, counters.samples) == (steps, 16 * run.n_updates)
    assert run.n_updates == pytest.approx((steps - 60) / 8 * 2, abs=2)


@pytest.mark.parametrize(("before", "now"), [("lockstep", "free"), ("free", "lockstep"), ("free", "free")])
def test_a_run_goes_on_in_another_mode_or_with_others(before, now, tmp_path):
    SAC(config(tmp_path / "run", collectors={"mode": before})).train(progress=False)
    with pytest.warns(UserWarning, match="goes on from step .* with other collectors"):
        run = SAC.restore(tmp_path / "run", ["algorithm.total_steps=800", "collectors.n=2", f"collectors.mode={now}"])
    steps, before_ = run.steps, run.n_updates
    longer = run.train(progress=False)
    assert run.n_updates - before_ == pytest.approx((longer.steps - steps) / 8 * 2, abs=8)


@pytest.mark.parametrize("most", [None, 3])
def test_fragments_of_old_weights_are_not_learned_from(most, tmp_path):
    run = WatchedSAC(config(tmp_path / "run", ENV, collectors={"max_weights_age": most}))
    run.train(progress=False)
    numbers = [one.number for one in run.experience.fragments if one.collector == 0]
    assert (max(run.experience.ages) <= 3) == (numbers != list(range(len(numbers)))) == (most is not None)
