"""What collectors beside each other, and learners beside each other, bring and cost on this machine.

    python benchmarks/scaling.py [GROUP ...] [--rounds N] [--place local|Ray] [--try]

Groups: simulators, training, ranks, blocks, weights, losses; all of them unless named. Everything that is compared is
measured in one run of this program: learners live in processes of their own, each with its collectors, and take turns,
in another order every round. What counts is the ratio of two in the same round, by the clock, since collectors work
beside the learner; only what a block of data costs the learner is its processor time. Torch has one thread in each
process. Nothing of what is said to be measured includes a start: those are told of their own. Figures go to
`benchmarks/results/scaling.md` and `scaling.json`, by group; groups that are not run again keep theirs. What needs more
memory than is free, or Ray where it is not installed, is left out, which is said. `--try`, and `--place`, which leaves
out collectors of the other place, write nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import random
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from speed import RESULTS, about_here, spread
from speed_contenders import Worker, versions

WORK = Path(__file__).parent / "scaling_work.py"
#: Starts a learner of two ranks; what follows is as for one.
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
#: What collectors of each place are configured with; processors are shared by as many as there are.
PLACES: dict[str, dict[str, Any]] = {"local": {"where": "local"}, "Ray": {"where": "ray", "cpus_each": 0.05}}
#: Bytes of memory that a collector, and a Ray, are expected to need.
COLLECTOR, RAY = 0.28e9, 0.7e9
ALONE = "in one process"
#: Collectors of slow simulators.
COUNTS = (1, 8, 32)
#: Networks whose updates take as long as a few steps: with larger ones collectors wait for the learner, however many.
SMALL = {"batch_size": 64, "architecture": {"actor_hidden_size": [64, 64], "critic_hidden_size": [64, 64]}}

Measure = dict[str, Any]
#: Who, against whom, how many times as fast at least.
Goals = list[tuple[str, str, float]]


# ---- taking turns -------------------------------------------------------------------------------------------------


class Learner(Worker):
    """A learner that takes turns, and what it has said of its start."""

    def __init__(self, kind: str, *, ranks: int = 1, **arguments: Any) -> None:
        options = TORCHRUN if ranks > 1 else ()
        super().__init__(sys.executable, kind, script=WORK, options=options, **arguments)


@contextlib.contextmanager
def learners(kind: str, wanted: dict[str, dict[str, Any]], notes: list[str]) -> Iterator[dict[str, Learner]]:
    """Start learners one after the other, and end all of them; those for which there is no room are told in `notes`."""
    with contextlib.ExitStack() as all_of_them:
        started: dict[str, Learner] = {}
        for name, arguments in wanted.items():
            if reason := missing(arguments.get("collectors")):
                notes.append(f"Left out: {name}, since {reason}.")
                print(notes[-1], flush=True)
                continue
            started[name] = Learner(kind, **arguments)
            all_of_them.callback(started[name].close)
        yield started


def missing(collectors: dict[str, Any] | None) -> str:
    """Return what a learner with these collectors lacks here, an empty text if nothing."""
    if collectors is None or collectors.get("where", "process") == "process":
        return ""
    on_ray = collectors["where"] == "ray"
    if on_ray and importlib.util.find_spec("ray") is None:
        return "Ray is not installed"
    needed, free = collectors["n"] * COLLECTOR + on_ray * RAY, free_memory()
    return f"it needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are free" if needed > free else ""


def free_memory() -> float:
    """Return the bytes of memory that programs can still have."""
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return 1024.0 * int(line.split()[1])
    raise SystemExit("/proc/meminfo says nothing of available memory")


def race(title: str, unit: str, entries: dict[str, tuple[Learner, float, int]], rounds: int, **rest: Any) -> Measure:
    """Let learners take turns, and return their rates: of what a unit of each is, after so many units of warming up.

    Args:
        title: of the measure.
        unit: what rates are of.
        entries: by name, the learner, how much of it a unit of its work is, and how many units of a turn are not
            measured, in which it takes what its collectors have done before.
        rounds: turns of each.
        rest: `turn`, the seconds that a turn is to take, and what is kept with the measure: `against`, the learner
            that ratios are shown to; `goals`; `note`.
    """
    turn = rest.pop("turn")
    units = {}
    for name, (learner, _, warm_up) in entries.items():
        learner(warm_up)
        learner(warm_up)
        units[name] = max(1, round(warm_up * turn / max(learner(warm_up)[1], 1e-6) / warm_up)) * warm_up
    rates: dict[str, list[float]] = {name: [] for name in entries}
    for number in range(rounds):
        for name in random.Random(number).sample(list(entries), len(entries)):
            learner, amount, warm_up = entries[name]
            learner(warm_up)
            rates[name].append(units[name] * amount / learner(units[name])[1])
    return told({"title": title, "unit": unit, "rates": rates} | rest)


def told(measure: Measure) -> Measure:
    print(table(measure), flush=True)
    return measure


# ---- the groups: each returns its measures ------------------------------------------------------------------------


def simulators(rounds: int) -> list[Measure]:
    """Slow simulators: collecting alone, in free mode."""
    measures = []
    with tempfile.TemporaryDirectory() as folder:
        pace = np.memmap(Path(folder) / "pace", np.float64, "w+", shape=(1,))
        for place, options in PLACES.items():
            notes: list[str] = []
            wanted = {}
            for n in COUNTS:
                census = Path(folder) / f"{place}-{n}"
                census.mkdir()
                env_args = {"pace": str(Path(folder) / "pace"), "census": str(census)}
                section = {"n": n, "mode": "free"} | options
                wanted[str(n)] = {"collectors": section, "n_steps": 8, "env_args": env_args, "hidden": [64, 64]}
            pace[0] = 0.005
            with learners("collecting", wanted, notes) as started:
                if len(started) < len(wanted):
                    measures.append(told(values(f"slow simulators, {place} collectors", "", {}, notes=notes)))
                    continue
                for seconds, turn in ((0.040, 2.6), (0.005, 1.5)):
                    pace[0] = seconds
                    entries = {name: (learner, 8.0, 3 * int(name)) for name, learner in started.items()}
                    goals = [("32", "1", 28.0)] if seconds > 0.01 else []
                    title = f"a simulator of {seconds * 1000:.0f} ms a step, blocks of 8: {place} collectors"
                    note = "By the number of collectors; collecting alone, in free mode."
                    measures.append(
                        race(title, "steps", entries, rounds, turn=turn, against="1", goals=goals, note=note)
                    )
                begun = {f"{name} collectors": [learner.about["started"]] for name, learner in started.items()}
                measures.append(told(values(f"start until each has delivered, {place}", "seconds", begun)))
                found = {
                    f"a collector of {name}": memory(Path(folder) / f"{place}-{name}", learner)
                    for name, learner in started.items()
                }
                note = "Proportional set size: pages that several processes share are counted in parts."
                measures.append(told(values(f"memory of a collector, {place}", "MB", found, note=note)))
    return measures


def training(rounds: int) -> list[Measure]:
    """Pendulum: collectors and a learner beside each other, against the loop in one process."""
    return [
        pendulum("one update in 8 steps", 8, SMALL, rounds, {"1": 1.25, "2": 1.8}),
        pendulum("one update a step", 64, SMALL, rounds, {"1": 0.9}),
        pendulum("one update in 8 steps, as shipped", 8, {}, rounds, {"1": None}),
    ]


def pendulum(
    title: str, updates: int, algorithm: dict[str, Any], rounds: int, least: dict[str, float | None]
) -> Measure:
    """Return a race of one collector at lag 1, and of two in free mode, where `least` has them, and one process."""
    sections: dict[str, dict[str, Any] | None] = {ALONE: None}
    goals: Goals = []
    for place, options in PLACES.items():
        for name, mode in (("1", {"n": 1, "lag": 1}), ("2", {"n": 2, "mode": "free"})):
            if name in least:
                who = f"{name} {place}, {'free' if 'mode' in mode else 'lag 1'}"
                sections[who] = mode | options
                goals += [(who, ALONE, reach)] if (reach := least[name]) else []
    wanted = {
        name: {"collectors": one, "n_steps": 64, "updates": updates, "algorithm": algorithm}
        for name, one in sections.items()
    }
    sizes = "actor and critics [64, 64], batch 64" if algorithm else "actor [64, 64], critics [256, 256], batch 256"
    notes = [f"Compiled SAC, {sizes}; blocks of 64 steps of one environment each."]
    with learners("training", wanted, notes) as started:
        # A turn begins with what was ordered before: two fragments of each collector.
        entries = {name: (one, 64 / updates, 5 * updates) for name, one in started.items()}
        note = " ".join(notes)
        return race(f"Pendulum, {title}", "steps", entries, rounds, turn=2.5, against=ALONE, goals=goals, note=note)


def ranks(rounds: int) -> list[Measure]:
    """Two ranks against one, with the same whole batch."""
    measures = []
    for batch in (256, 2048):
        wanted = {"1 rank": {"batch_size": batch}, "2 ranks": {"batch_size": batch, "ranks": 2}}
        with learners("ranks", wanted, []) as started:
            entries = {name: (learner, 1.0, 5) for name, learner in started.items()}
            note = "Compiled SAC, observations of 17, actions of 6, critics [256, 256]; gloo; each rank has one thread."
            title = f"learners side by side, batch {batch:,}"
            measures.append(race(title, "updates", entries, rounds, turn=1.5, against="1 rank", note=note))
    return measures


def blocks(rounds: int) -> list[Measure]:
    """What a block costs the learner, and how long it is on its way."""
    wanted = {}
    for size, label in ((190, "50 kB"), (1870, "480 kB")):
        for place, options in PLACES.items():
            section = {"n": 2, "lag": 1} | options
            wanted[f"{label}, {place}"] = {
                "collectors": section, "n_steps": 64, "env_args": {"size": size}, "hidden": [64, 64],
                "capacity": 20_000,
            }  # fmt: skip
    notes: list[str] = []
    times: dict[str, list[float]] = {}
    with learners("collecting", wanted, notes) as started:
        notes.append("Bytes: " + ", ".join(f"{name} {one.about['bytes']:,}" for name, one in started.items()) + ".")
        notes.append("Ordered, taken and put into the replay buffer, by two collectors in lockstep with lag 1.")
        for _ in range(rounds):
            for name, learner in started.items():
                learner(10)
                times.setdefault(name, []).append(1000 * learner(200)[0] / 200)
    limits = [(name, 1.2) for name in times if name.startswith("50 kB")]
    title = "the learner's processor time for a block"
    measures = [told(values(title, "ms", times, limits, notes=notes))]

    sections = {ALONE: {"n": 1}} | {place: {"n": 1} | options for place, options in PLACES.items()}
    wanted = {
        name: {"collectors": section, "n_steps": 1, "env_args": {}, "hidden": [8]} for name, section in sections.items()
    }
    notes, times = ["One collector in lockstep, a step of a simulator that does nothing in each round."], {}
    with learners("collecting", wanted, notes) as started:
        for _ in range(rounds):
            for name, learner in started.items():
                learner(20)
                times.setdefault(name, []).append(1000 * learner(300)[1] / 300)
    return [*measures, told(values("a round of one step", "ms", times, notes=notes))]


def weights(rounds: int) -> list[Measure]:
    """Rounds with weights that are new, and with the same again."""
    measures = []
    with tempfile.TemporaryDirectory() as folder:
        switch = Path(folder) / "new"
        for place, options in PLACES.items():
            times: dict[str, list[float]] = {}
            notes = [
                "Rounds of one step in lockstep, a policy of 2 MB, whose weights are others in each round, or not."
            ]
            for n in COUNTS[1:]:
                work = {"n_steps": 1, "env_args": {}, "hidden": [700, 700], "switch": str(switch)}
                wanted = {f"{n} collectors": {"collectors": {"n": n} | options, **work}}
                with learners("collecting", wanted, notes) as started:
                    for name, learner in started.items():
                        for label in ("the same weights", "new weights") * rounds:
                            switch.touch() if label.startswith("new") else switch.unlink(missing_ok=True)
                            learner(2 * n)
                            times.setdefault(f"{name}, {label}", []).append(1000 * learner(20 * n)[1] / 20)
            measures.append(told(values(f"a round with weights for all, {place}", "ms", times, notes=notes)))
    return measures


def losses(rounds: int) -> list[Measure]:
    """Collectors that are killed, and brought to where they were."""
    times: dict[str, list[float]] = {}
    notes = ["Two collectors in lockstep, blocks of 64 steps of a simulator of 1 ms; the round after one was killed."]
    with tempfile.TemporaryDirectory() as folder:
        pace = np.memmap(Path(folder) / "pace", np.float64, "w+", shape=(1,))
        pace[0] = 0.001
        wanted = {}
        for place, options in PLACES.items():
            census = Path(folder) / place
            census.mkdir()
            env_args = {"pace": str(Path(folder) / "pace"), "census": str(census)}
            wanted[place] = {"collectors": {"n": 2} | options, "n_steps": 64, "env_args": env_args, "hidden": [64, 64]}
        with learners("collecting", wanted, notes) as started:
            for history in (10, 100):
                for place, learner in started.items():
                    learner(2 * history)
                    times.setdefault(f"{place}, a round", []).append(learner(2)[1])
                    for _ in range(min(rounds, 3)):
                        victim = alive(Path(folder) / place, learner)[-1]
                        os.kill(victim, signal.SIGKILL)
                        name = f"{place}, killed after {history * 64:,} steps"
                        times.setdefault(name, []).append(learner(2)[1])
    return [told(values("a collector is killed", "seconds", times, notes=notes))]


GROUPS = {
    "simulators": simulators,
    "training": training,
    "ranks": ranks,
    "blocks": blocks,
    "weights": weights,
    "losses": losses,
}


# ---- processes ----------------------------------------------------------------------------------------------------


def alive(census: Path, learner: Learner) -> list[int]:
    """Return the processes that have made simulators and still run, except the learner's."""
    pids = sorted(int(one.name) for one in census.iterdir())
    return [pid for pid in pids if pid != learner.process.pid and Path(f"/proc/{pid}/exe").exists()]


def memory(census: Path, learner: Learner) -> list[float]:
    """Return the megabytes of each collector's process."""
    found = []
    for pid in alive(census, learner):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        found.append(sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3)
    return found


# ---- results ------------------------------------------------------------------------------------------------------


def values(
    title: str,
    unit: str,
    found: dict[str, list[float]],
    limits: list[tuple[str, float]] | None = None,
    *,
    note: str = "",
    notes: list[str] | None = None,
) -> Measure:
    """Return a measure of amounts; a limit is (what, how much at most)."""
    note = " ".join([*([note] if note else []), *(notes or [])])
    return {"title": title, "unit": unit, "values": found, "limits": limits or [], "note": note}


def table(measure: Measure) -> str:
    """Return a measure as a section in Markdown."""
    lines = [f"### {measure['title']}", ""]
    if measure["note"]:
        lines += [measure["note"], ""]
    verdicts = []
    if found := measure.get("values"):
        lines += [f"| | {measure['unit']} |", "|---|---|"]
        lines += [f"| {name} | {spread(times, ',.3g')} |" for name, times in found.items()]
        for name, limit in measure["limits"]:
            met = statistics.median(found[name]) <= limit
            verdicts.append((name, spread(found[name]), f"at most {limit:g} {measure['unit']}", met))
    elif rates := measure.get("rates"):
        against = rates[measure["against"]]
        ratios = {name: [x / y for x, y in zip(one, against, strict=True)] for name, one in rates.items()}
        lines += [f"| | {measure['unit']}/s | x {measure['against']} |", "|---|---|---|"]
        lines += [f"| {name} | {statistics.median(one):,.0f} | {spread(ratios[name])} |" for name, one in rates.items()]
        for who, _, least in measure.get("goals", []):
            if who in ratios:
                verdicts.append((who, spread(ratios[who]), f"{least:g} x", statistics.median(ratios[who]) >= least))
    if verdicts:
        lines += ["", "| goal | reached | must reach | |", "|---|---|---|---|"]
        lines += [
            f"| {who} | {figure} | {least} | {'met' if met else '**missed**'} |" for who, figure, least, met in verdicts
        ]
    return "\n".join([*lines, ""])


def page(results: dict[str, Any]) -> str:
    """Return all results in Markdown."""
    lines = [
        "# Collectors and learners beside each other, measured",
        "",
        "Generated by `python benchmarks/scaling.py`: learners with their collectors take turns; medians by the clock,",
        "and the ratios' medians and ranges over the rounds. What it means: [Scaling](../../docs/scaling.md).",
    ]
    for name in GROUPS:
        if name in results:
            about = ", ".join(f"{key} {value}" for key, value in results[name]["about"].items())
            lines += ["", f"## {name}", "", f"{about}.", ""]
            lines += ["\n".join(table(measure) for measure in results[name]["measures"]).rstrip()]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", help=", ".join(GROUPS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--place", choices=list(PLACES), help="of collectors; both, unless named")
    parser.add_argument("--try", action="store_true", dest="dry", help="print the figures, and write nothing")
    arguments = parser.parse_args()
    if unknown := set(arguments.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    for place in set(PLACES) - {arguments.place or place for place in PLACES}:
        del PLACES[place]
    record = RESULTS / "scaling.json"
    results = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    for name in arguments.groups or GROUPS:
        measures = GROUPS[name](arguments.rounds)
        about = about_here(arguments.rounds)
        for other in ("stable-baselines3", "bbrl", "bbrl-utils"):
            del about[other]
        if importlib.util.find_spec("ray") is not None:
            about |= versions("ray")
        results[name] = {"about": about | {"memory": f"{free_memory() / 1e9:.0f} GB free"}, "measures": measures}
        if not arguments.dry and arguments.place is None:
            record.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            (RESULTS / "scaling.md").write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
