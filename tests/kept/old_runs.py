"""Folders of runs that earlier code has written, and what that code made of the rest of them.

    python -m tests.kept.old_runs make     # with the code that is to be remembered

Each folder is as a run has left it: two were killed (`kill -9`) between two checkpoints, one is complete, of an
algorithm of the user's own. `old_runs.json` holds the fingerprints of copies in which the same code went on.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.kept.fingerprints import fingerprint
from tests.kept.machine import this_machine
from tests.kept.own_algorithm import CalmTD3
from tests.kept.same_bits import commit
from workspace_rl.algos import DQN, SAC

FOLDERS = Path(__file__).with_name("old_runs")
RECORD = Path(__file__).with_name("old_runs.json")

_SHARED: dict[str, Any] = {
    "compile": False,
    "torch_threads": 1,
    "matmul_precision": "highest",
    "record_best": False,
    "logger": {"save_tensorboard": False, "log_interval": 50},
}
_TINY = {"actor_hidden_size": [8], "critic_hidden_size": [8]}

ALGORITHMS = {"sac_pendulum": SAC, "dqn_cartpole": DQN, "own_td3_pendulum": CalmTD3}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "sac_pendulum": {
        "gym_env": {"env_name": "Pendulum-v1", "wrappers": ["TimeAwareObservation"]},
        "algorithm": {
            "total_steps": 1200, "n_envs": 2, "n_steps": 4, "buffer_size": 500, "batch_size": 16,
            "learning_starts": 100, "random_steps": 100, "nb_evals": 2, "eval_interval": 250,
            "checkpoint_interval": 300, "final_episodes": 3, "architecture": _TINY,
        },
    },
    "dqn_cartpole": {
        "gym_env": {"env_name": "CartPole-v1"},
        "algorithm": {
            "total_steps": 1200, "n_envs": 3, "n_steps": 2, "batch_size": 16, "n_step_return": 2,
            "learning_starts": 100, "updates_per_collect": 0.5, "double": True, "tau_target": 0.02,
            "epsilon_steps": 600, "nb_evals": 2, "eval_interval": 250, "checkpoint_interval": 300,
            "final_episodes": 3, "architecture": {"hidden_size": [12], "dueling": True},
        },
    },
    "own_td3_pendulum": {
        "gym_env": {"env_name": "Pendulum-v1"},
        "algorithm": {
            "total_steps": 600, "n_envs": 2, "n_steps": 4, "batch_size": 16, "learning_starts": 100, "nb_evals": 2,
            "eval_interval": 300, "checkpoint_interval": 300, "final_episodes": 3, "architecture": _TINY,
        },
    },
}  # fmt: skip
#: They are killed between their second and their third checkpoint.
KILLED = ("sac_pendulum", "dqn_cartpole")
#: What is changed when they go on.
OVERRIDES = {"own_td3_pendulum": ["algorithm.total_steps=900"]}
#: On other machines, measurements are compared up to this step: one of the last checkpoint, and a few updates more.
ALIKE_UNTIL = {"sac_pendulum": 700, "dqn_cartpole": 700, "own_td3_pendulum": 700}


def go_on(name: str, folder: Path) -> dict[str, Any]:
    """Resume the run in `folder`, and return its fingerprint."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*under other conditions")  # such as another machine
        ALGORITHMS[name].restore(folder, OVERRIDES.get(name, [])).train(progress=False)
    return fingerprint(folder)


def read_record() -> dict[str, Any]:
    """Return what is recorded: the `machine`, and the `runs` by their names."""
    return dict(json.loads(RECORD.read_text(encoding="utf-8")))


def make() -> None:
    """Write the folders and the record anew."""
    record: dict[str, Any] = {"machine": this_machine(), "runs": {}}
    for name in ALGORITHMS:
        folder = FOLDERS / name
        shutil.rmtree(folder, ignore_errors=True)
        with tempfile.TemporaryDirectory() as temporary:
            made = Path(temporary) / name
            ended = subprocess.run([sys.executable, "-m", "tests.kept.old_runs", "train", name, str(made)]).returncode
            expected = -signal.SIGKILL if name in KILLED else 0
            if ended != expected:
                raise RuntimeError(f"{name} ended with {ended}, {expected} expected")
            shutil.copytree(made, folder)
            record["commit"] = commit(made)
            record["runs"][name] = go_on(name, made)
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def train(name: str, folder: str) -> None:
    """Train, in a process of its own, until it is killed."""
    if name in KILLED:
        _kill_after_two_checkpoints()
    config: Mapping[str, Any] = copy.deepcopy(_SHARED | CONFIGURATIONS[name]) | {"base_dir": folder}
    ALGORITHMS[name](config).train(progress=False)


def _kill_after_two_checkpoints() -> None:
    """End this process when it opens `metrics.csv` for the third time since its second checkpoint was complete."""
    checkpoints, opened = 0, 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal checkpoints, opened
        if event == "os.rename":
            checkpoints += Path(arguments[1]).match("checkpoint-*.json")
        if event == "open" and checkpoints == 2:
            opened += str(arguments[0]).endswith("metrics.csv")
            if opened == 3:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


if __name__ == "__main__":
    if sys.argv[1:2] == ["train"]:
        train(*sys.argv[2:])
    elif sys.argv[1:] == ["make"]:
        make()
    else:
        sys.exit(__doc__)
