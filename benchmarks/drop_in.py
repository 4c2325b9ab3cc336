"""BBRL's SAC notebook, run by the real BBRL and by this library's stand-in for it: how much sooner it is done.

    python benchmarks/drop_in.py [ROUNDS] [key=value ...]

Each round runs the whole program (`tests/compat/programs/sac.py`: imports, training, evaluations, two films) once with
each, in processes of their own and in alternating order, on one core and one thread. The medians of the wall-clock and
the processor time and their ratios go to `benchmarks/results/drop_in.md`. The losses of the two must be equal.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "tests" / "compat" / "programs" / "sac.py"
RESULT = ROOT / "benchmarks" / "results" / "drop_in.md"
DEFAULT = ["algorithm.max_epochs=2000"]  # the notebook's own budget
WAYS = {"BBRL": [], "the drop-in": ["-m", "workspace_rl.compat.bbrl"]}


def run(way: str, arguments: list[str]) -> tuple[float, float, str]:
    """Return the seconds on the clock and of the processor, and the losses."""
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, *WAYS[way], PROGRAM, folder, *arguments],
            check=True,
            capture_output=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return wall, processor, (Path(folder) / "losses.json").read_text(encoding="utf-8")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    arguments = sys.argv[2:] or DEFAULT
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for number in range(rounds):
        losses = set()
        for way in list(WAYS)[:: 1 if number % 2 else -1]:
            *seconds, record = run(way, arguments)
            times[way].append((seconds[0], seconds[1]))
            losses.add(record)
        if len(losses) > 1:
            raise SystemExit("the losses differ: the two did not do the same work")
        print(f"round {number + 1}: " + ", ".join(f"{way} {times[way][-1][0]:.1f} s" for way in WAYS), flush=True)
    rows = []
    for kind, name in enumerate(("on the clock", "of the processor")):
        medians = {way: statistics.median(one[kind] for one in times[way]) for way in WAYS}
        ratios = [real[kind] / ours[kind] for real, ours in zip(*times.values(), strict=True)]
        rows.append(
            f"| seconds {name} | {medians['BBRL']:.1f} | {medians['the drop-in']:.1f} | "
            f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )
    updates = len(json.loads(losses.pop())["CartPoleContinuous-v1/actor_loss"])
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
    ).stdout
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "gymnasium", "bbrl", "bbrl-utils"))
    text = "\n".join(
        [
            "# BBRL's SAC notebook under the drop-in",
            "",
            f"`python benchmarks/drop_in.py {rounds} {' '.join(arguments)}`: the whole program of",
            f"`tests/compat/programs/sac.py`, {updates} updates on CartPoleContinuous-v1 and a short run on",
            f"Pendulum-v1, with evaluations and films. {rounds} rounds in alternating order on one core and one",
            "thread; medians, and the ratios' medians and ranges. All losses are equal, bit for bit.",
            "",
            "| | BBRL | the drop-in | ratio |",
            "|---|---|---|---|",
            *rows,
            "",
            f"{cpu()}, Python {platform.python_version()}, {packages}, commit {commit.strip()}.",
            "",
        ]
    )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text, encoding="utf-8")
    print(text)


def cpu() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in info.read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
