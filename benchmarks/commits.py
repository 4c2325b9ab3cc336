"""Speed of two commits of this library, side by side: did a change that was to leave speed alone do so?

    python benchmarks/commits.py BEFORE [AFTER] [--rounds N] [--only WORD]

AFTER is HEAD unless named. Each commit is installed into a temporary folder, with the dependencies of this environment,
and does its work in a process of its own, as its own `speed_contenders.py` says: eager and compiled updates, training
end to end, collecting. The processes take turns, in another order every round; what counts is the ratio of the two in
the same round. A third process is of the first commit again: what it differs from itself is noise. Processor time is
measured, the clock beside it. Figures go to `benchmarks/results/commits.md` and `commits.json`; nothing does with
`--only`, which leaves out the workloads without this word in their titles.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import speed_contenders as contenders
import torch
from speed import ROOT, TURN, about_here
from speed_contenders import SIZES, TRANSITIONS, Turns, Worker

RESULTS = ROOT / "benchmarks" / "results"
BEFORE, AGAIN, AFTER = "before", "before, again", "after"
#: What the median of after / before must reach.
LEAST = 0.97

# ---- what is measured: in the processes of the commits ------------------------------------------------------------


def sac_update(turns: Turns, size: str, compiled: bool) -> None:
    update(turns, contenders.ours_sac(size, compiled), size, TRANSITIONS)


def dqn_update(turns: Turns, size: str, n: int) -> None:
    update(turns, contenders.ours_dqn(size, True), size, n)


def update(turns: Turns, algorithm: Any, size: str, n: int) -> None:
    buffer = contenders.filled_buffer(algorithm.stored_variables, SIZES[size], n)
    work = contenders.ours_update(algorithm, buffer)
    torch.set_float32_matmul_precision(work.precision)
    repeat(turns, work.run)


def collecting(turns: Turns, env: str, n_envs: int, n_steps: int) -> None:
    repeat(turns, contenders.ours_collecting(env, n_envs, n_steps))


def repeat(turns: Turns, run: Callable[[], Any]) -> None:
    turns.ready()
    while True:
        turns.next()
        run()


#: By kind: what does units of its work in turns, and how many units it does before anything is measured.
KINDS: dict[str, tuple[Callable[..., None], int]] = {
    "sac": (sac_update, 5),
    "dqn": (dqn_update, 25),  # its target network is copied every 20 updates
    "training": (contenders.ours_training, 200),
    "collecting": (collecting, 5),
}
#: By title: kind, arguments, what is counted, and how many of them a unit of work is.
WORKLOADS: dict[str, tuple[str, dict[str, Any], str, int]] = {
    "SAC update, obs 17, act 6": ("sac", {"size": "obs 17, act 6", "compiled": True}, "updates", 1),
    "SAC update, obs 17, act 6, eager": ("sac", {"size": "obs 17, act 6", "compiled": False}, "updates", 1),
    "SAC update, obs 4, act 1": ("sac", {"size": "obs 4, act 1", "compiled": True}, "updates", 1),
    "SAC update, obs 4, act 1, eager": ("sac", {"size": "obs 4, act 1", "compiled": False}, "updates", 1),
    "DQN update, [128, 128], batch 128": ("dqn", {"size": "obs 4, 2 actions", "n": TRANSITIONS}, "updates", 1),
    "training end to end, SAC, HalfCheetah-v5": ("training", {"env": "HalfCheetah-v5"}, "steps", 1),
    "collecting, 8 CartPole-v1": ("collecting", {"env": "CartPole-v1", "n_envs": 8, "n_steps": 32}, "steps", 256),
    "collecting, 8 Pendulum-v1": ("collecting", {"env": "Pendulum-v1", "n_envs": 8, "n_steps": 32}, "steps", 256),
}


def work(kind: str, arguments: str) -> None:
    """The side of a commit's process."""
    contenders.settle()
    KINDS[kind][0](Turns(), **json.loads(arguments))


# ---- measuring ----------------------------------------------------------------------------------------------------


def commit_of(name: str) -> str:
    return subprocess.run(
        ["git", "rev-parse", "--verify", f"{name}^{{commit}}"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        encoding="utf-8",
    ).stdout.strip()


def install(commit: str, folder: Path) -> dict[str, str]:
    """Put a commit into a folder, and return the environment in which Python imports its package and its benchmarks."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder / "source", filter="data")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    options = ["--no-build-isolation", "--target", str(folder / "package")]
    subprocess.run([*pip, *options, str(folder / "source")], check=True)
    path = os.pathsep.join(str(folder / name) for name in ("package", "source/benchmarks"))
    # A safe path does not begin with the folder of this script, whose neighbours are of another commit.
    environment = {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    origins = "import workspace_rl, speed_contenders; print(workspace_rl.__file__, speed_contenders.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", origins], check=True, capture_output=True, encoding="utf-8", env=os.environ | environment
    ).stdout.split()
    if not all(Path(one).is_relative_to(folder) for one in found):
        raise SystemExit(f"{commit} would be measured by {found}, which are not of its folder {folder}")
    return environment


def race(title: str, environments: dict[str, dict[str, str]], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Let the commits take turns at a workload, and return their rates: by name, by the processor and the clock."""
    kind, arguments, unit, amount = WORKLOADS[title]
    workers = {
        name: Worker(sys.executable, kind, script=Path(__file__), environment=environment, **arguments)
        for name, environment in environments.items()
    }
    try:
        for worker in workers.values():
            worker(KINDS[kind][1])
        trial = min(worker(5)[0] for worker in workers.values())
        units = max(1, round(5 * 3 * TURN / max(trial, 1e-6)))
        rates: dict[str, dict[str, list[float]]] = {name: {"processor": [], "clock": []} for name in workers}
        for order in itertools.islice(itertools.cycle(orders(list(workers))), rounds):
            for name in order:
                for clock, seconds in zip(("processor", "clock"), workers[name](units), strict=True):
                    rates[name][clock].append(units * amount / seconds)
    finally:
        for worker in workers.values():
            worker.close()
    medians = {name: statistics.median(found["processor"]) for name, found in rates.items()}
    print(f"{title}: " + ", ".join(f"{name} {rate:,.0f} {unit}/s" for name, rate in medians.items()), flush=True)
    return rates


def orders(names: list[str]) -> list[tuple[str, ...]]:
    """Return all orders, each followed by its reverse: of any two, the first of one round is the second of the next."""
    halves = [order for order in itertools.permutations(names) if order[0] < order[-1]]
    return [one for order in halves for one in (order, order[::-1])]


# ---- results ------------------------------------------------------------------------------------------------------


def ratios(rates: dict[str, dict[str, list[float]]], who: str, kind: str = "processor") -> list[float]:
    return [one / other for one, other in zip(rates[who][kind], rates[BEFORE][kind], strict=True)]


def spread(found: list[float]) -> str:
    low, median, high = statistics.quantiles(found, n=4, method="inclusive")
    return f"**{median:.3f}** ({low:.3f} to {high:.3f})"


def page(results: dict[str, Any]) -> str:
    """Return the results in Markdown."""
    about = results["about"]
    lines = [
        f"# Speed of {about['after']} beside {about['before']}",
        "",
        f"Generated by `python benchmarks/commits.py {about['before']} {about['after']} --rounds {about['rounds']}`:",
        "both commits, and the first once more, in processes of their own which take turns, in orders that alternate,",
        "on one core with one thread. Ratios of rates in the same round, by processor time (above 1: faster than",
        "before): medians, and between which values the middle half of the rounds lies.",
        "",
        f"| measure | before, a second | after / before | before, again / before | must reach {LEAST} | by the clock |",
        "|---|---|---|---|---|---|",
    ]
    for title, rates in results["rates"].items():
        rate = statistics.median(rates[BEFORE]["processor"])
        after = ratios(rates, AFTER)
        reached = "met" if statistics.median(after) >= LEAST else "**missed**"
        clock = statistics.median(ratios(rates, AFTER, "clock"))
        lines.append(
            f"| {title} | {rate:,.0f} {WORKLOADS[title][2]} | {spread(after)} | {spread(ratios(rates, AGAIN))} "
            f"| {reached} | {clock:.3f} |"
        )
    return "\n".join([*lines, "", ", ".join(f"{name} {value}" for name, value in about.items()) + ".", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="a commit")
    parser.add_argument("after", nargs="?", default="HEAD", help="another one, or the same")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", metavar="WORD", help="of titles of workloads")
    arguments = parser.parse_args()
    commits = {BEFORE: commit_of(arguments.before), AFTER: commit_of(arguments.after)}
    titles = [title for title in WORKLOADS if arguments.only in title]
    with tempfile.TemporaryDirectory() as folder:
        environments = {name: install(commit, Path(folder) / name) for name, commit in commits.items()}
        environments[AGAIN] = environments[BEFORE]
        rates = {title: race(title, environments, arguments.rounds) for title in titles}
    about = {name: commit[:7] for name, commit in commits.items()} | about_here(arguments.rounds)
    for other in ("commit", "stable-baselines3", "bbrl", "bbrl-utils"):
        del about[other]
    results = {"about": about, "rates": rates}
    text = page(results)
    print(text)
    if not arguments.only:
        (RESULTS / "commits.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        (RESULTS / "commits.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    # A process of a commit is told a kind of work and, as JSON, its arguments.
    if len(sys.argv) == 3 and sys.argv[2].startswith("{"):
        work(*sys.argv[1:])
    else:
        main()
