"""Runs that are killed, resumed, and compared with runs that were never stopped."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from safetensors.torch import load_file

SMALL = (
    "algorithm.n_envs=2",
    "algorithm.n_steps=4",
    "algorithm.updates_per_collect=4",
    "algorithm.learning_starts=200",
    "algorithm.total_steps=6000",
    "algorithm.checkpoint_interval=500",
    "algorithm.eval_interval=700",
    "algorithm.nb_evals=2",
    "algorithm.final_episodes=2",
    "algorithm.batch_size=32",
    "record_best=false",
    "logger.save_tensorboard=false",
)


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start the command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "workspace_rl", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a process that must end well, and return what it printed."""
    output, _ = process.communicate(timeout=600)
    if process.returncode:
        raise RuntimeError(f"the run ended with {process.returncode}:\n{output}")
    return output


def kill_somewhere(process: subprocess.Popen[str], run: Path, rng: random.Random, *, while_writing: bool) -> bool:
    """Kill a training process after its second checkpoint; return whether it was writing one."""
    folder = run / "checkpoints"
    deadline = time.monotonic() + 300
    while len(list(folder.glob("checkpoint-*.json"))) < 2:
        time.sleep(0.002)
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"the run wrote no two checkpoints:\n{process.communicate()[0]}")
    time.sleep(rng.uniform(0, 1))
    while while_writing and process.poll() is None:
        if list(folder.glob(".*.tmp*")):
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)  # by the time it stands still it may have written it
            if list(folder.glob(".*.tmp*")):
                break
            process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if process.returncode != -signal.SIGKILL:
        raise RuntimeError("the run ended before it could be killed: make it longer")
    return bool(list(folder.glob(".*.tmp*")))


def differences(run: Path, other: Path) -> list[str]:
    """Return in what two complete runs differ: any weight, optimiser, random number, frame, measurement or score."""
    found = []
    names = {file.name for one in (run, other) for file in (one / "checkpoints").iterdir()}
    last = max(int(name[len("state-") :].partition(".")[0]) for name in names if name.startswith("state-"))
    ours, theirs = (load_file(one / "checkpoints" / f"state-{last}.safetensors") for one in (run, other))
    found += [
        name
        for name in sorted(ours.keys() | theirs.keys())
        if name not in ours or name not in theirs or not ours[name].equal(theirs[name])
    ]
    files = [
        "metrics.csv",
        "best/policy.safetensors",
        "best/policy.yaml",
        "best/eval.json",
        "latest/policy.safetensors",
    ]
    files += [f"checkpoints/{name}" for name in names if name.startswith("rows-")]
    return found + [name for name in files if (run / name).read_bytes() != (other / name).read_bytes()]
