"""Runs that are killed, resumed, and compared with runs that were never stopped."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from safetensors.torch import load_file

PROGRAM = "from workspace_rl.cli import main; import sys; sys.exit(main(sys.argv[1:]))"


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start the command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, *arguments],
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


def kill_somewhere(process: subprocess.Popen[str], run: Path, rng: random.Random, *, while_writing: bool) -> str:
    """Kill a training process after its second checkpoint, and return where it was."""
    folder = run / "checkpoints"
    while len(list(folder.glob("checkpoint-*.json"))) < 2:
        time.sleep(0.002)
        if process.poll() is not None:
            raise RuntimeError(f"the run ended by itself:\n{process.communicate()[0]}")
    if not while_writing:
        time.sleep(rng.uniform(0, 2))
    while while_writing and process.poll() is None and not list(folder.glob(".*.tmp*")):
        pass
    writing = bool(list(folder.glob(".*.tmp*")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    return "while writing" if writing else "between"


def differences(run: Path, other: Path) -> list[str]:
    """Return in what two complete runs differ: any weight, optimiser, random number, frame, measurement or score."""
    found = []
    names = {one.name for one in (run / "checkpoints").iterdir()} | {
        one.name for one in (other / "checkpoints").iterdir()
    }
    last = max((name for name in names if name.startswith("state-")), key=lambda name: int(name[6:].partition(".")[0]))
    ours, theirs = load_file(run / "checkpoints" / last), load_file(other / "checkpoints" / last)
    found += [
        name
        for name in ours.keys() | theirs.keys()
        if not (name in ours and name in theirs and ours[name].equal(theirs[name]))
    ]
    files = [
        "metrics.csv",
        "best/policy.safetensors",
        "best/policy.yaml",
        "best/eval.json",
        "latest/policy.safetensors",
    ]
    files += [f"checkpoints/{name}" for name in names if name.startswith("rows-")]
    found += [name for name in files if (run / name).read_bytes() != (other / name).read_bytes()]
    return found
