"""Scores in a process of their own: training goes on meanwhile, and the run is the same, whatever happens to it."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import tests.training.gates  # noqa: F401 - registers them
from workspace_rl import Run, load_policy
from workspace_rl.algos import DQN, SAC
from workspace_rl.errors import ConfigError, EnvironmentFailedError, WorkerError
from workspace_rl.runs import read_metrics

SAC_RUN = {
    "gym_env": {"env_name": "Pendulum-v1", "max_episode_steps": 40},
    "algorithm": {
        "total_steps": 640,
        "n_envs": 2,
        "n_steps": 4,
        "learning_starts": 100,
        "batch_size": 16,
        "updates_per_collect": 2,
        "nb_evals": 3,
        "eval_interval": 90,
        "checkpoint_interval": 250,
        "save_policy_every": 160,
        "final_episodes": 3,
        "architecture": {"actor_hidden_size": [16], "critic_hidden_size": [16]},
    },
    "logger": {"log_interval": 40, "save_tensorboard": False},
    "collect_stats": True,
    "compile": False,
}
DQN_RUN = {
    **SAC_RUN,
    "gym_env": {"env_name": "CartPole-v1", "max_episode_steps": 40},
    "algorithm": {
        **{name: value for name, value in SAC_RUN["algorithm"].items() if name != "architecture"},
        "sequence_length": 4,
        "burn_in": 2,
        "architecture": {"hidden_size": [16], "memory": {"kind": "gru", "size": 8}},
    },
}


def changed(config, base_dir, **changes):
    """Return a configuration with other sections; what stands in these is added."""
    merged = {
        name: {**config[name], **value} if isinstance(value, dict) and name in config else value
        for name, value in changes.items()
    }
    return {**config, "base_dir": str(base_dir), **merged}


def contents(run):
    """Return what equal runs share: each file but those that hold times, where the run lies, or who scores."""
    files = {str(one.relative_to(run)): one.read_bytes() for one in sorted(run.rglob("*")) if one.is_file()}
    times = ("wall_time.json", "provenance.json", "config.yaml", "composition.svg", ".lock")
    return {name: one for name, one in files.items() if name not in times and not name.endswith((".json", ".mp4"))} | {
        name: one for name, one in files.items() if name.endswith("eval.json")
    }


def same(one, other):
    ours, theirs = contents(one), contents(other)
    assert ours.keys() == theirs.keys()
    differing = [name for name in ours if ours[name] != theirs[name]]
    assert not differing
    return ours


def kept_policies(run):
    """Return the policies that were kept on the way, each with the step of its score, if it has one."""
    run = Run(run)
    kept = [one for one in run.policies() if one not in ("best", "latest")]
    for which in kept:
        assert run.scores(which)["step"] == int(which.removeprefix("policies/"))
        assert load_policy(run.path / which)
    return {one: run.scores(one)["step"] if "selection" in run.scores(one) else None for one in kept}


@pytest.mark.parametrize(
    ("algorithm", "config"),
    [(SAC, SAC_RUN), (DQN, DQN_RUN), (SAC, {**SAC_RUN, "compile": True})],
    ids=["sac", "dqn with memory", "sac compiled"],
)
def test_a_run_is_the_same_with_and_without(algorithm, config, tmp_path):
    results = [
        algorithm(changed(config, tmp_path / str(elsewhere), evaluation_worker=elsewhere)).train(progress=False)
        for elsewhere in (False, True)
    ]
    files = same(*(result.run for result in results))
    assert files["metrics.csv"].count(b"eval/return_mean") > 4 and "eval_returns.csv" in files
    assert {"best/policy.safetensors", "latest/eval.json"} <= files.keys()
    assert list(kept_policies(results[1].run).values())[-1] == results[1].steps  # scored at the very step
    assert any(name.startswith("checkpoints/state-") for name in files)
    here, elsewhere = results
    assert (elsewhere.selection, elsewhere.final, elsewhere.best_step) == (here.selection, here.final, here.best_step)
    assert here.video.read_bytes() == elsewhere.video.read_bytes()


SHORT = {
    "total_steps": 320,
    "checkpoint_interval": 100,
    "eval_interval": 120,
    "save_policy_every": None,
    "nb_evals": 2,
    "final_episodes": 2,
}
SMALL = changed(SAC_RUN, "", gym_env={"env_name": "Gate-v0"}, record_best=False, algorithm=SHORT)


def gated(base_dir, folder, deed="", times=1, elsewhere=True, **changes):
    """Return a run whose environment does a deed in the process that scores policies."""
    folder.mkdir(exist_ok=True)
    env_args = {"learner": os.getpid(), "deed": deed, "folder": str(folder), "times": times}
    # Longer than what runs these tests may let a process wait.
    gym_env = {"env_args": env_args, "timeout": 15.0 if deed == "hang" else 120.0}
    config = changed(SMALL, base_dir, gym_env=gym_env, evaluation_worker=elsewhere)
    return SAC(changed(config, base_dir, **changes))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A run whose policies are scored in the learner's process."""
    folder = tmp_path_factory.mktemp("plain")
    return gated(folder / "run", folder / "gate", elsewhere=False).train(progress=False)


def test_training_goes_on_while_a_policy_is_scored(plain, tmp_path):
    sac, opened = gated(tmp_path / "run", tmp_path / "gate", "wait"), []

    def learn(batch, learn=sac.learn):
        # The first score is asked for at about step 120, and the gate would stay shut if training waited for it.
        if sac.steps >= 170 and not opened:
            assert read_metrics(sac.run.path).keys().isdisjoint({"eval/return_mean"})
            opened.append((sac.steps, sac.n_updates))
            (tmp_path / "gate" / "open").touch()
        return learn(batch)

    sac.learn = learn
    result = sac.train(progress=False)
    assert opened and opened[0][0] >= 170 and (tmp_path / "gate" / "waits").exists()
    assert read_metrics(result.run)["eval/return_mean"][0][0] < 140
    same(plain.run, result.run)


@pytest.mark.parametrize(
    ("deed", "times", "told"), [("die", 2, "by signal 9"), ("hang", 1, "not heard of for 15 seconds")]
)
def test_a_process_that_dies_or_hangs_is_replaced_and_the_run_is_the_same(deed, times, told, plain, tmp_path):
    with pytest.warns(UserWarning, match=f"{told}.*Another one is started") as warned:
        result = gated(tmp_path / "run", tmp_path / "deeds", deed, times).train(progress=False)
    assert len(warned) == times == len(list((tmp_path / "deeds").iterdir()))
    same(plain.run, result.run)


@pytest.mark.filterwarnings("ignore:.*Another one is started")
def test_where_each_process_dies_the_run_ends_and_says_what_can_be_done(tmp_path):
    sac = gated(tmp_path / "run", tmp_path / "deeds", "die", times=99)
    with pytest.raises(WorkerError, match=r"by signal 9.*attempt 3 of 3.*evaluation_worker=false"):
        sac.train(progress=False)
    assert len(list((tmp_path / "deeds").iterdir())) == 3 and load_policy(tmp_path / "run" / "latest")


def test_what_an_environment_raises_there_is_raised_here(tmp_path):
    with pytest.raises(EnvironmentFailedError, match="no score here") as told:
        gated(tmp_path / "run", tmp_path / "deeds", "fail").train(progress=False)
    assert "the process that scores policies" in str(told.value.__cause__)


@pytest.mark.parametrize("at", ["on the way", "at the end"])
def test_ctrl_c_ends_early_and_the_resumed_run_is_the_same(at, plain, tmp_path):
    end = at == "at the end"
    changes = {"algorithm": {"nb_evals": 2, "eval_interval": 1000}} if end else {}
    sac, stopped = gated(tmp_path / "run", tmp_path / "gate", "wait", **changes), []

    def learn(batch, learn=sac.learn):
        if not end and sac.steps >= 160 and not stopped:
            stopped.append(sac.steps)
            signal.raise_signal(signal.SIGINT)
        return learn(batch)

    sac.learn = learn
    if end:  # the last score is waited for, for ever
        threading.Thread(target=interrupt_when, args=(tmp_path / "gate" / "waits",), daemon=True).start()
    result = sac.train(progress=False)
    assert result.interrupted and result.final is None
    assert load_policy(result.run / "latest")
    if not end:
        (tmp_path / "gate" / "open").touch()
        resumed = SAC.restore(result.run).train(progress=False)
        assert resumed.final == plain.final
        same(plain.run, resumed.run)


def interrupt_when(path):
    while not path.exists():
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


KILLED = """
import os, signal, sys
import tests.training.gates
from tests.training.test_scoring_process import gated
from pathlib import Path
sac = gated(Path(sys.argv[1]), Path(sys.argv[2]), "wait")
def learn(batch, learn=sac.learn):
    # There is a checkpoint, a score has been asked for, and nobody will ever take it up.
    if sac.steps >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return learn(batch)
sac.learn = learn
(Path(sys.argv[2]) / "open").touch()
sac.train(progress=False)
"""


def test_a_run_that_is_killed_goes_on_and_is_the_same(plain, tmp_path):
    script = KILLED.replace('"wait")', '"wait", algorithm={"save_policy_every": 110})')
    run = tmp_path / "run"
    killed = subprocess.run([sys.executable, "-c", script, run, tmp_path / "gate", "250"], timeout=300)
    assert killed.returncode == -signal.SIGKILL
    kept = [one for one in Run(run).policies() if one.startswith("policies/")]
    assert kept == ["policies/110", "policies/220"]  # as they are reached
    (run / "policies" / "999999").mkdir()  # of a course that the run does not take again
    resumed = SAC.restore(run).train(progress=False)
    assert resumed.final == plain.final
    ours = {name: one for name, one in contents(resumed.run).items() if not name.startswith("policies/")}
    assert ours == contents(plain.run)
    assert kept_policies(resumed.run) == {"policies/110": None, "policies/220": None}


def test_an_algorithm_that_scores_its_policies_itself_says_so(tmp_path):
    class Own(SAC):
        def evaluate(self):
            return super().evaluate()

    with pytest.raises(ConfigError, match="evaluation_worker: false expected, since Own has an evaluate of its own"):
        Own(changed(SAC_RUN, tmp_path / "run", evaluation_worker=True)).train(progress=False)
