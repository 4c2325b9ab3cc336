"""Scores in a process of their own: training goes on meanwhile, and the run is the same, whatever happens to it."""

import pytest

from workspace_rl import Run, load_policy
from workspace_rl.algos import DQN, SAC

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
        "architecture": {"hidden_size": [16]},
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
    """Return what equal runs share: each file but those that hold times or where the run lies."""
    files = {str(one.relative_to(run)): one.read_bytes() for one in sorted(run.rglob("*")) if one.is_file()}
    times = ("wall_time.json", "provenance.json", "config.yaml", ".lock")
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
    ids=["sac", "dqn", "sac compiled"],
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
