"""What speed.py measures of memories: an update of SAC over sequences, by their length and by the kind of memory.

`python speed_memory.py JSON` prints the seconds of the first one, of a kind and a length.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from speed_contenders import SIZES, Here, settle

KINDS = ("gru", "lstm", "transformer")
LENGTHS = (8, 32, 64)
#: Sequences in an update, numbers of a memory, units of the networks behind it.
BATCH, SIZE, UNITS = 32, 64, [64, 64]
#: An update over 64 steps may take so many times as long as one over 8, and its compilation so many seconds.
MOST_TIMES, MOST_SECONDS = 8.5, 120.0


def configuration(kind: str, length: int, folder: str) -> dict[str, Any]:
    networks = {"actor_hidden_size": UNITS, "critic_hidden_size": UNITS, "memory": {"kind": kind, "size": SIZE}}
    return {
        "gym_env": {"env_name": "SpeedNoise-v0", "env_args": SIZES["obs 4, act 1"]},
        "base_dir": f"{folder}/run",
        "compile": True,
        "matmul_precision": "highest",
        "record_best": False,
        "algorithm": {
            "total_steps": 10**8,
            "n_envs": 4,
            "n_steps": 1000,
            "learning_starts": 0,
            "nb_evals": 0,
            "checkpoint_interval": None,
            "batch_size": BATCH,
            "sequence_length": length,
            "burn_in": 0,
            "architecture": networks,
        },
    }


def ours_update(kind: str, length: int) -> Here:
    """One update: sample sequences and learn from them, at the precision that the algorithm has chosen."""
    from workspace_rl.algos import SAC

    with tempfile.TemporaryDirectory() as folder:
        algorithm = SAC(configuration(kind, length, folder))
        experience, collectors = algorithm.make_parts()
        experience.put(collectors.collect(0)[0])
    sample, window = experience.buffer.sample, algorithm.parameters.window
    return Here(lambda: algorithm.learn(sample(BATCH, window)), algorithm.config.matmul_precision)


def first_update(kind: str, length: int) -> float:
    """Return the seconds, on the clock, of the first update in a fresh process, with nothing in torch's cache."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": folder}
        command = [sys.executable, __file__, json.dumps({"kind": kind, "length": length})]
        answer = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
        ).stdout
    return float(answer.splitlines()[-1])


if __name__ == "__main__":
    settle()
    print(ours_update(**json.loads(sys.argv[1]))(1)[1])
