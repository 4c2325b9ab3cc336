"""Short runs whose every bit is recorded, so that a change that is to change nothing can be seen to.

    python -m tests.kept.same_bits compare                        # with what is recorded, all runs
    python -m tests.kept.same_bits compare --only "sac, eager"
    python -m tests.kept.same_bits record                         # after a change that is meant to change numbers

`same_bits.json` holds what each run measured, the checksums of its weights, its optimisers, its random numbers and, if
it has one, its replay buffer, and the machine: on another one, `compare` says in what it differs, and compares what
holds there, too.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.kept.fingerprints import differences, fingerprint, rough_differences
from tests.kept.machine import changes, this_machine
from workspace_rl.algos import ALGORITHMS

RECORD = Path(__file__).with_name("same_bits.json")

#: What all runs share. One thread and a fixed precision, so that nothing is measured.
_SHARED: dict[str, Any] = {
    "torch_threads": 1,
    "matmul_precision": "highest",
    "record_best": False,
    "logger": {"save_tensorboard": False, "log_interval": 50},
}
_NETWORKS = {"actor_hidden_size": [24, 16], "critic_hidden_size": [32, 16]}

#: Between them: several environments, in one process and in several, episodes that terminate and that are cut off,
#: replay buffers that are full, rollouts, stacks of pictures, environments that are renewed at a checkpoint or closed
#: for an evaluation.
RUNS: dict[str, dict[str, Any]] = {
    "sac": {
        "gym_env": {"env_name": "Pendulum-v1"},
        "algorithm": {
            "seed": 3, "total_steps": 900, "n_envs": 3, "n_steps": 4, "buffer_size": 500, "batch_size": 32,
            "learning_starts": 150, "random_steps": 100, "updates_per_collect": 2, "nb_evals": 2, "eval_interval": 350,
            "checkpoint_interval": 650, "final_episodes": 2, "architecture": _NETWORKS,
        },
    },
    "sac, fixed entropy": {
        "algo": "sac",
        "gym_env": {"env_name": "CartPoleContinuous-v1", "max_episode_steps": 40},
        "algorithm": {
            "seed": 4, "total_steps": 600, "n_envs": 2, "n_steps": 5, "batch_size": 16, "n_step_return": 2,
            "learning_starts": 100, "nb_evals": 0, "final_episodes": 2, "entropy_mode": "fixed",
            "init_entropy_coef": 0.2, "architecture": {"actor_hidden_size": [16], "critic_hidden_size": [16]},
        },
    },
    "tqc": {
        "gym_env": {"env_name": "Pendulum-v1", "max_episode_steps": 60},
        "algorithm": {
            "seed": 11, "total_steps": 500, "n_envs": 2, "n_steps": 4, "batch_size": 32, "n_critics": 3,
            "n_quantiles": 7, "n_step_return": 2, "learning_starts": 150, "nb_evals": 2, "eval_interval": 250,
            "checkpoint_interval": 300, "final_episodes": 2, "architecture": _NETWORKS,
        },
    },
    "td3": {
        "gym_env": {
            "env_name": "Pendulum-v1", "max_episode_steps": 60,
            "wrappers": ["TimeAwareObservation", {"classname": "ClipReward", "min_reward": -8.0}],
        },
        "algorithm": {
            "seed": 5, "total_steps": 800, "n_envs": 2, "n_steps": 8, "batch_size": 32, "n_step_return": 3,
            "learning_starts": 200, "random_steps": 200, "updates_per_collect": 4, "policy_delay": 3,
            "max_grad_norm": 1.0, "nb_evals": 2, "eval_interval": 300, "checkpoint_interval": 300, "final_episodes": 2,
            "architecture": _NETWORKS,
        },
        "critic_optimizer": {"classname": "torch.optim.AdamW", "lr": 1e-3, "weight_decay": 1e-3},
    },
    "ddpg": {
        "gym_env": {"env_name": "CartPoleContinuous-v1", "vectorization": "async"},
        "algorithm": {
            "seed": 6, "total_steps": 1000, "n_envs": 2, "n_steps": 4, "batch_size": 32, "learning_starts": 200,
            "noise_kind": "ornstein-uhlenbeck", "exploration_noise": 0.2, "tau_target": 0.01, "nb_evals": 2,
            "eval_interval": 500, "checkpoint_interval": 500, "final_episodes": 2, "architecture": _NETWORKS,
        },
    },
    "dqn": {
        "gym_env": {"env_name": "CartPole-v1"},
        "algorithm": {
            "seed": 7, "total_steps": 1500, "n_envs": 4, "n_steps": 2, "buffer_size": 900, "batch_size": 32,
            "n_step_return": 2, "learning_starts": 200, "updates_per_collect": 0.5, "double": True,
            "target_update_interval": 20, "epsilon_steps": 800, "max_grad_norm": 10.0, "nb_evals": 3,
            "eval_interval": 600, "checkpoint_interval": 700, "final_episodes": 3,
            "architecture": {"hidden_size": [32, 16], "dueling": True, "head_hidden_size": [16]},
        },
    },
    "dqn, one simulator": {
        "algo": "dqn",
        "gym_env": {"env_name": "FrozenLake-v1", "single_instance": True},
        "collect_stats": True,
        "algorithm": {
            "seed": 8, "total_steps": 600, "n_envs": 1, "n_steps": 4, "batch_size": 16, "learning_starts": 100,
            "loss": "squared", "reward_clip": 0.5, "tau_target": 0.02, "epsilon_steps": 300, "nb_evals": 4,
            "eval_interval": 250, "checkpoint_interval": 200, "final_episodes": 4,
            "architecture": {"hidden_size": [16]},
        },
    },
    "dqn, pictures": {
        "algo": "dqn",
        "gym_env": {"env_name": "ALE/Pong-v5", "atari": {}, "max_episode_steps": 50},
        "algorithm": {
            "seed": 9, "total_steps": 500, "n_envs": 2, "n_steps": 4, "buffer_size": 300, "batch_size": 8,
            "n_step_return": 3, "learning_starts": 200, "updates_per_collect": 0.5, "target_update_interval": 5,
            "epsilon_steps": 300, "nb_evals": 1, "eval_interval": 250, "checkpoint_interval": 300, "final_episodes": 1,
            "architecture": {"network": "nature_cnn", "hidden_size": [16]},
        },
    },
    "ppo": {
        "gym_env": {"env_name": "CartPole-v1", "max_episode_steps": 60},
        "algorithm": {
            "seed": 10, "total_steps": 1500, "n_envs": 3, "n_steps": 32, "batch_size": 24, "n_epochs": 3,
            "normalize_observations": True, "normalize_rewards": True, "recompute_advantages": True,
            "entropy_coef": 0.01, "anneal_learning_rate": True, "nb_evals": 3, "eval_interval": 600,
            "checkpoint_interval": 700, "final_episodes": 3, "architecture": {"hidden_size": [16, 16]},
        },
    },
}  # fmt: skip
EAGER = {f"{name}, eager": (name, False) for name in RUNS}
COMPILED = {f"{name}, compiled": (name, True) for name in ("sac", "td3", "ddpg", "dqn")}


def run(title: str, folder: Path) -> dict[str, Any]:
    """Train the run called `title` ("sac, eager") into `folder`, and return its fingerprint."""
    name, compiled = (EAGER | COMPILED)[title]
    config = copy.deepcopy(_SHARED | RUNS[name]) | {"compile": compiled, "base_dir": str(folder)}
    ALGORITHMS[config.get("algo", name)](config).train(progress=False)
    return fingerprint(folder)


def compare(title: str, folder: Path, record: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Train a run again; return its differences from the record, and those of the machine.

    On another machine, the differences are those that rounding cannot explain.
    """
    name, compiled = (EAGER | COMPILED)[title]
    elsewhere = changes(record["machine"], compiled=compiled)
    recorded, found = record["runs"][title], run(title, folder)
    if elsewhere:
        # Until a few updates have been made.
        parameters = RUNS[name]["algorithm"]
        starts = parameters.get("learning_starts", parameters["n_envs"] * parameters["n_steps"])
        return rough_differences(recorded, found, 2 * starts), elsewhere
    return differences(recorded, found), elsewhere


def commit(folder: Path) -> str:
    """Return the commit of the library's code that made a run."""
    known = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["commits"]
    return str(known.get("workspace-rl", "unknown"))


def read_record() -> dict[str, Any]:
    """Return what is recorded: the `machine`, and the `runs` by their titles."""
    return dict(json.loads(RECORD.read_text(encoding="utf-8")))


def main(arguments: Sequence[str] | None = None) -> int:
    """Record or compare; return how many runs differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=("record", "compare"))
    parser.add_argument("--only", choices=[*EAGER, *COMPILED], action="append", help="a run; all of them unless given")
    parser.add_argument("--file", type=Path, default=RECORD, help="the record")
    options = parser.parse_args(arguments)
    titles = options.only or [*EAGER, *COMPILED]
    known = json.loads(options.file.read_text(encoding="utf-8")) if options.file.is_file() else {"runs": {}}
    warnings.filterwarnings("error", ".*runs eagerly")  # what was to be compiled
    differing = 0
    for title in titles:
        with tempfile.TemporaryDirectory() as folder:
            if options.action == "record":
                known["runs"][title] = run(title, Path(folder) / "run")
                known["commit"] = commit(Path(folder) / "run")
                told, elsewhere = [], []
            else:
                told, elsewhere = compare(title, Path(folder) / "run", known)
        how = (
            "recorded" if options.action == "record" else "the same but for rounding" if elsewhere else "the same bits"
        )
        print(f"{title}: {f'{len(told)} differences' if told else how}", *elsewhere, *told[:20], sep="\n  ", flush=True)
        differing += bool(told)
    if options.action == "record":
        known["machine"] = this_machine(compiled=True)
        options.file.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    return differing


if __name__ == "__main__":
    sys.exit(main())
