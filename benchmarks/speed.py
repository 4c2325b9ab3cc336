"""Speed and memory of this library and of its peers, side by side.

    python benchmarks/speed.py [GROUP ...] [--rounds N] [--sbx-python PATH]
    python benchmarks/speed.py profile update|step

Groups: sac, tqc, crossq, dqn, ppo, replay, sequences, train, collect, memory, first; all of them unless named.
Contenders take turns on one core with one thread, in another order every round; what counts is the ratio of two in the
same round. Processor time is measured (a machine is rarely idle), the clock beside it. SBX runs in a virtual
environment of its own, whose Python is `--sbx-python`. Each kind of processor has its results in
`benchmarks/results/speed/`, as JSON and as tables; groups that are not run again keep theirs.
`benchmarks/results/speed.md` has the goals, the same for all kinds, side by side. `profile` prints where a compiled
update, or a step of collection, spends its time.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import platform
import pstats
import random
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import speed_contenders as contenders
import speed_memory
import speed_on_policy as on_policy
import speed_replay
import torch
from speed_contenders import SIZES, TRANSITIONS, Contender, Here, Worker, filled_buffer, ours_update, versions

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
#: Seconds that a turn is to take.
TURN = 0.3
OURS, BF16, EAGER, SB3, SB3_SAME = "ours", "ours, bf16", "ours, eager", "SB3", "SB3, same precision"
OURS_SAC, CONTRIB, CONTRIB_SAME = "ours, SAC", "SB3 contrib", "SB3 contrib, same precision"
SBX, SBX_64, BBRL, BARE = "SBX", "SBX, 64 updates a call", "BBRL", "SyncVectorEnv, bare loop"

Measure = dict[str, Any]


# ---- measuring ----------------------------------------------------------------------------------------------------


def race(
    title: str,
    unit: str,
    entries: dict[str, tuple[Contender, float]],
    rounds: int,
    against: str,
    warm_up: int = 3,
    goals: list[tuple[str, str, float]] | None = None,
    note: str = "",
    turn: float = TURN,
) -> Measure:
    """Let contenders take turns; a goal is (who, against whom, how many times as fast at least).

    Args:
        entries: by name, the contender and how many `unit` one unit of its work is.
        against: the contender that ratios are shown to.
        warm_up: units before anything is measured.
        turn: seconds that a turn is to take.
    """
    units = {}
    for name, (run, _) in entries.items():
        run(warm_up)
        trial = run(2)[0]
        units[name] = max(1, round(2 * turn / max(trial, 1e-6)))
    rates: dict[str, dict[str, list[float]]] = {name: {"processor": [], "clock": []} for name in entries}
    names = list(entries)
    for number in range(rounds):
        for name in random.Random(number).sample(names, len(names)):
            run, amount = entries[name]
            for kind, seconds in zip(("processor", "clock"), run(units[name]), strict=True):
                rates[name][kind].append(units[name] * amount / seconds)
    measure = {"title": title, "unit": unit, "rates": rates, "against": against, "note": note}
    measure["goals"] = [goal for goal in goals or [] if goal[0] in entries and goal[1] in entries]
    print(table(measure), flush=True)
    return measure


def ratios(measure: Measure, who: str, against: str, kind: str = "processor") -> list[float]:
    pairs = zip(measure["rates"][who][kind], measure["rates"][against][kind], strict=True)
    return [one / other for one, other in pairs]


def values(title: str, unit: str, found: dict[str, list[float]], goals: list[tuple[str, float]], note="") -> Measure:
    """Return a measure of amounts; a goal is (what, how much at most)."""
    measure = {"title": title, "unit": unit, "values": found, "goals": goals, "note": note}
    print(table(measure), flush=True)
    return measure


# ---- the groups: each returns its measures, and what else is to be told ---------------------------------------------


def sac_updates(rounds: int, sbx_python: str | None) -> tuple[list[Measure], dict[str, Any]]:
    measures, about = [], {}
    goals = {
        "obs 17, act 6": [(OURS, SB3, 2.4), (OURS, SBX, 1.05), (BF16, SB3, 3.5)],
        "obs 4, act 1": [(OURS, SB3, 2.5)],
    }
    for size in ("obs 17, act 6", "obs 4, act 1"):
        compiled = contenders.ours_sac(size, True)
        buffer = filled_buffer(compiled.stored_variables, SIZES[size], TRANSITIONS)
        precision = about[f"precision, {size}"] = compiled.config.matmul_precision
        model = contenders.peer_sac("stable_baselines3", size, device="cpu")
        entries: dict[str, tuple[Contender, float]] = {
            OURS: (ours_update(compiled, buffer), 1),
            BF16: (ours_update(contenders.ours_sac(size, True, precision="bf16"), buffer), 1),
            EAGER: (ours_update(contenders.ours_sac(size, False), buffer), 1),
            SB3: (Here(partial(model.train, 1, 256)), 1),
            SB3_SAME: (Here(partial(model.train, 1, 256), precision), 1),
            BBRL: (Here(contenders.bbrl_sac(size)), 1),
        }
        workers = []
        if sbx_python:
            workers = [Worker(sbx_python, "sbx-updates", size=size, per_call=per_call) for per_call in (1, 64)]
            entries |= {SBX: (workers[0], 1), SBX_64: (workers[1], 64)}
            about |= workers[0].about
        note = f"Actor {contenders.HIDDEN[size]}, critics [256, 256], batch 256 of {TRANSITIONS:,}. Ours chose "
        note += f"precision {precision!r}."
        measures.append(race(f"SAC update, {size}", "updates", entries, rounds, SB3, goals=goals[size], note=note))
        for worker in workers:
            worker.close()
    return measures, about


def tqc_updates(rounds: int, sbx_python: str | None) -> tuple[list[Measure], dict[str, Any]]:
    size = "obs 17, act 6"
    compiled, of_sac = contenders.ours_sac(size, True, "tqc"), contenders.ours_sac(size, True)
    buffer = filled_buffer(compiled.stored_variables, SIZES[size], TRANSITIONS)
    precision = compiled.config.matmul_precision
    model = contenders.peer_sac("sb3_contrib", size, "TQC", device="cpu")
    entries: dict[str, tuple[Contender, float]] = {
        OURS: (ours_update(compiled, buffer), 1),
        OURS_SAC: (ours_update(of_sac, buffer), 1),
        EAGER: (ours_update(contenders.ours_sac(size, False, "tqc"), buffer), 1),
        CONTRIB: (Here(partial(model.train, 1, 256)), 1),
        CONTRIB_SAME: (Here(partial(model.train, 1, 256), precision), 1),
    }
    goals = [(OURS, OURS_SAC, 0.8), (OURS, CONTRIB, 2)]
    note = (
        f"Actor {contenders.HIDDEN[size]}, critics [256, 256] of {compiled.config.algorithm.n_quantiles} values, 2 of "
    )
    note += f"each dropped, batch 256 of {TRANSITIONS:,}. Ours chose precision {precision!r}."
    measure = race(f"TQC update, {size}", "updates", entries, rounds, CONTRIB, goals=goals, note=note)
    return [measure], {"precision": precision} | versions("sb3-contrib")


def crossq_updates(rounds: int, sbx_python: str | None) -> tuple[list[Measure], dict[str, Any]]:
    measures, about = [], {}
    for width in (256, 512, 1024):
        compiled = contenders.ours_crossq(width)
        buffer = filled_buffer(compiled.stored_variables, SIZES["obs 17, act 6"], TRANSITIONS)
        precision = about[f"precision, {width}"] = compiled.config.matmul_precision
        model = contenders.sb3_crossq(width)
        entries: dict[str, tuple[Contender, float]] = {
            OURS: (ours_update(compiled, buffer), 1),
            BF16: (ours_update(contenders.ours_crossq(width, precision="bf16"), buffer), 1),
            CONTRIB: (Here(partial(model.train, 1, 256)), 1),
            CONTRIB_SAME: (Here(partial(model.train, 1, 256), precision), 1),
        }
        title = f"CrossQ update, critics [{width}, {width}], obs 17, act 6"
        note = (
            f"Actor [256, 256], batch 256 of {TRANSITIONS:,}; the actor's at every third update. Ours chose precision "
        )
        note += f"{precision!r}."
        # Both kinds of update are compiled before anything is measured.
        goals = [(OURS, CONTRIB, 2.5)]
        measures.append(race(title, "updates", entries, rounds, CONTRIB, warm_up=6, goals=goals, note=note))
    return measures, about


def dqn_updates(rounds: int, sbx_python: str | None) -> tuple[list[Measure], dict[str, Any]]:
    measures, about = [], {}
    for size, n, title, goal in (
        ("obs 4, 2 actions", TRANSITIONS, "DQN update, [128, 128], batch 128", 2.2),
        ("84x84x4, 6 actions", 5000, "DQN update, Nature CNN 84x84x4, batch 32", 1.6),
    ):
        compiled = contenders.ours_dqn(size, True)
        buffer = filled_buffer(compiled.stored_variables, SIZES[size], n)
        precision = about[f"precision, {size}"] = compiled.config.matmul_precision
        model = contenders.sb3_dqn(size, n)
        train = partial(model.train, 1, model.batch_size)
        entries: dict[str, tuple[Contender, float]] = {
            OURS: (ours_update(compiled, buffer), 1),
            EAGER: (ours_update(contenders.ours_dqn(size, False), buffer), 1),
            SB3: (Here(train), 1),
            SB3_SAME: (Here(train, precision), 1),
        }
        goals = [(OURS, SB3, goal)]
        note = f"{n:,} transitions. Ours chose precision {precision!r}, and copies its target network every 20 updates."
        measures.append(race(title, "updates", entries, rounds, SB3, warm_up=25, goals=goals, note=note))
    return measures, about


def training(rounds: int, sbx_python: str | None) -> tuple[list[Measure], dict[str, Any]]:
    env, kind = "HalfCheetah-v5", "peer-training"
    ours = Worker(sys.executable, "ours-training", env=env)
    precision = ours.about["precision"]
    workers = {
        OURS: ours,
        SB3: Worker(sys.executable, kind, package="stable_baselines3", env=env),
        SB3_SAME: Worker(sys.executable, kind, package="stable_baselines3", env=env, precision=precision),
    }
    if sbx_python:
        workers[SBX] = Worker(sbx_python, kind, package="sbx", env=env)
    entries: dict[str, tuple[Contender, float]] = {name: (worker, 1) for name, worker in workers.items()}
    goals = [(OURS, SB3, 2.3), (OURS, SBX, 1.1)]
    note = f"One environment, one update a step, [256, 256], batch 256; ours is `train()`, precision {precision!r}. "
    note += "All in processes of their own; no evaluation in what was measured."
    with_longer_turns = 4 * TURN  # an episode's end, and its logs, are to weigh no more than they do
    title = f"training end to end, SAC, {env}"
    measure = race(title, "steps", entries, rounds, SB3, 200, goals, note, turn=with_longer_turns)
    about = {"precision": precision} | (workers[SBX].about if sbx_python else {})
    for worker in workers.values():
        worker.close()
    return [measure], about


def on_policy_training(rounds: int, sbx_python: str | None) -> tuple[list[Measure], dict[str, Any]]:
    measures, about = [], {}
    for kind, what, goals in (
        ("updates", "what is learned from a rollout", [(OURS, SB3, 2.5)]),
        ("training", "training end to end", [(OURS, SB3, 2), (OURS, SBX, 1.2)]),
    ):
        for env, size in on_policy.SIZES.items():
            worker = partial(Worker, script=on_policy.SCRIPT, env=env)
            workers = {
                OURS: worker(sys.executable, f"ours-{kind}"),
                SB3: worker(sys.executable, f"peer-{kind}", package="stable_baselines3"),
            }
            if sbx_python:
                workers[SBX] = worker(sbx_python, f"peer-{kind}", package="sbx")
                about |= workers[SBX].about
            precision = about["precision"] = workers[OURS].about["precision"]
            amount = on_policy.updates(env) if kind == "updates" else size.n_envs * size.n_steps
            entries: dict[str, tuple[Contender, float]] = {name: (one, amount) for name, one in workers.items()}
            note = f"Rollouts of {size.n_steps} steps in {size.n_envs} environment{'s' * (size.n_envs > 1)}, "
            note += f"{on_policy.EPOCHS} epochs, minibatches of {on_policy.BATCH}, [64, 64] for each of policy and "
            note += f"value; ours is compiled, precision {precision!r}. All in processes of their own; "
            note += "neither evaluation nor checkpoints in what was measured."
            title = f"PPO, {what}, {env}"
            unit = "updates" if kind == "updates" else "steps"
            measures.append(race(title, unit, entries, rounds, SB3, goals=goals, note=note, turn=2 * TURN))
            for one in workers.values():
                one.close()
    return measures, about


def prioritised_replay(rounds: int, sbx_python: str | None) -> tuple[list[Measure], dict[str, Any]]:
    measures = []
    for title, (algorithm, size, n) in speed_replay.CASES.items():
        uniform, prioritised = "drawn uniformly", "drawn by priorities"
        one = speed_replay.update(algorithm, size, n, prioritized=False)
        # Chosen once: each choice is measured, and two of them may differ.
        other = speed_replay.update(algorithm, size, n, prioritized=True, precision=one.precision)
        entries: dict[str, tuple[Contender, float]] = {uniform: (one, 1), prioritised: (other, 1)}
        # Drawing, update and writing of priorities take at most 1.3 times as long.
        goals, note = [(prioritised, uniform, 1 / 1.3)], f"{n:,} transitions."
        measures.append(
            race(
                f"prioritised replay, {title}", "updates", entries, rounds, uniform, warm_up=25, goals=goals, note=note
            )
        )
    return measures, {}


def sequences(rounds: int, sbx_python: str | None) -> tuple[list[Measure], dict[str, Any]]:
    least, *_, most = speed_memory.LENGTHS
    note = f"SAC, obs 4, act 1, {speed_memory.BATCH} sequences, a memory of {speed_memory.SIZE} that actor and critics "
    note += f"share, networks {speed_memory.UNITS} behind it; no burn-in, precision 'highest'."
    measures = []
    for kind in speed_memory.KINDS:
        entries: dict[str, tuple[Contender, float]] = {
            f"{length} steps": (speed_memory.ours_update(kind, length), 1) for length in speed_memory.LENGTHS
        }
        # The time may grow with the number of steps; 6 % are noise.
        goals = [] if kind == "transformer" else [(f"{most} steps", f"{least} steps", 1 / speed_memory.MOST_TIMES)]
        title = f"update by the length of sequences, {kind}"
        measures.append(race(title, "updates", entries, rounds, f"{least} steps", goals=goals, note=note))
    found = {
        f"{kind}, {length} steps": [speed_memory.first_update(kind, length)]
        for kind in speed_memory.KINDS
        for length in (least, most)
    }
    limits = [(f"{kind}, {most} steps", speed_memory.MOST_SECONDS) for kind in ("gru", "lstm")]
    title = "first compiled update over sequences"
    measures.append(values(title, "seconds", found, limits, "Fresh processes, by the clock; torch's cache is cold."))
    return measures, {}


def collecting(rounds: int, sbx_python: str | None) -> tuple[list[Measure], dict[str, Any]]:
    measures, n_steps = [], 32
    for env, policy in (("CartPole-v1", "epsilon-greedy values"), ("Pendulum-v1", "a squashed Gaussian")):
        act, amount = contenders.bare_policy(env), 8 * n_steps
        entries: dict[str, tuple[Contender, float]] = {
            OURS: (Here(contenders.ours_collecting(env, 8, n_steps)), amount),
            BARE: (Here(contenders.gymnasium_loop(env, 8, n_steps, act)), amount),
            "SB3 DummyVecEnv, bare loop": (Here(contenders.sb3_loop(env, 8, n_steps, act)), amount),
            BBRL: (Here(contenders.bbrl_collecting(env, 8, n_steps, None)), amount),
            "BBRL, same policy, not stored": (Here(contenders.bbrl_collecting(env, 8, n_steps, act)), amount),
        }
        note = (
            f"The policy is {policy} by two hidden layers of 64 units, the same in all. Ours also stores: collections"
        )
        note += f" of {n_steps} steps are put into the replay buffer."
        goals = [(OURS, BARE, 0.7), (OURS, BBRL, 3.0)]
        measures.append(race(f"collecting, 8 {env}", "steps", entries, rounds, BARE, goals=goals, note=note))
    for env in ("CartPole-v1", "Pendulum-v1"):
        act, entries = contenders.bare_policy(env), {}
        for n_envs in (1, 8, 64, 256):
            amount = n_envs * n_steps
            entries[f"ours, {n_envs}"] = (Here(contenders.ours_collecting(env, n_envs, n_steps)), amount)
            entries[f"bare loop, {n_envs}"] = (Here(contenders.gymnasium_loop(env, n_envs, n_steps, act)), amount)
        title = f"collecting by the number of environments, {env}"
        # With more environments a step must not cost more; 5 % are noise.
        goals = [(f"ours, {many}", f"ours, {few}", 0.95) for few, many in ((1, 8), (8, 64), (64, 256))]
        measures.append(race(title, "steps", entries, rounds, "ours, 1", goals=goals))
    return measures, {}


def memory(rounds: int, sbx_python: str | None) -> tuple[list[Measure], dict[str, Any]]:
    measures = []
    for size, n, goal in (("obs 17, act 6", 500_000, 104), ("84x84x4, 6 actions", 30_000, 7300)):
        found = {
            kind: [contenders.probe("memory", buffer=kind, size=size, n=n)["bytes"]]
            for kind in (OURS, SB3, "SB3, optimised")
        }
        note = f"Resident memory of a fresh process, buffer filled with {n:,} transitions of one environment."
        title = f"replay memory, {size.split(',')[0] if 'x' in size else size}"
        measures.append(values(title, "bytes per transition", found, [(OURS, goal)], note))
    size = "obs 17, act 6"
    algorithm, entries = contenders.ours_sac(size, True), {}
    for n in (10_000, 100_000, 1_000_000):
        buffer = filled_buffer(algorithm.stored_variables, SIZES[size], n, 1_000_000)
        entries[f"{n:,} transitions"] = (ours_update(algorithm, buffer), 1.0)
    least, *_, most = entries
    title = "time per update as the buffer grows"
    measures.append(
        race(title, "updates", entries, rounds, least, goals=[(most, least, 1 / 1.1)], note=f"SAC, {size}.")
    )
    return measures, {"precision": algorithm.config.matmul_precision}


def first_update(rounds: int, sbx_python: str | None) -> tuple[list[Measure], dict[str, Any]]:
    found: dict[str, list[float]] = {"cold": [], "torch's cache warm": [], "the second update": []}
    for _ in range(min(rounds, 3)):
        with tempfile.TemporaryDirectory() as folder:
            for state in ("cold", "torch's cache warm"):
                cache = {"TORCHINDUCTOR_CACHE_DIR": folder}
                seconds = contenders.probe("first-update", cache, size="obs 17, act 6")
                found[state].append(seconds["first"])
        found["the second update"].append(seconds["second"])
    note = "SAC, obs 17, act 6; seconds on the clock of a fresh process's first call of `learn`."
    return [values("first compiled update", "seconds", found, [], note)], {}


GROUPS: dict[str, Callable[..., tuple[list[Measure], dict[str, Any]]]] = {
    "sac": sac_updates,
    "tqc": tqc_updates,
    "crossq": crossq_updates,
    "dqn": dqn_updates,
    "ppo": on_policy_training,
    "replay": prioritised_replay,
    "sequences": sequences,
    "train": training,
    "collect": collecting,
    "memory": memory,
    "first": first_update,
}


# ---- results ------------------------------------------------------------------------------------------------------


def spread(found: list[float], digits: str = ".2f") -> str:
    return f"**{statistics.median(found):{digits}}** ({min(found):{digits}} to {max(found):{digits}})"


def outcomes(measure: Measure) -> list[tuple[str, str, str, bool]]:
    """Return the goals of a measure: what, the figure, what was to be reached, and whether it is."""
    rows = []
    if "values" in measure:
        for name, limit in measure["goals"]:
            found = statistics.median(measure["values"][name])
            rows.append((name, f"{found:,.1f} {measure['unit']}", f"at most {limit:,}", found <= limit))
        return rows
    for who, other, least in measure["goals"]:
        found = ratios(measure, who, other)
        rows.append((f"{who} / {other}", spread(found), f"{least:.3g} x", statistics.median(found) >= least))
    return rows


def table(measure: Measure) -> str:
    """Return a measure as a section in Markdown."""
    lines = [f"### {measure['title']}", ""]
    if measure["note"]:
        lines += [measure["note"], ""]
    if "values" in measure:
        lines += [f"| | {measure['unit']} |", "|---|---|"]
        lines += [f"| {name} | {spread(found, ',.1f')} |" for name, found in measure["values"].items()]
    else:
        unit, against = measure["unit"], measure["against"]
        lines += [f"| contender | {unit}/s | us each | x {against} | by the clock |", "|---|---|---|---|---|"]
        for name, rates in measure["rates"].items():
            rate = statistics.median(rates["processor"])
            clock = statistics.median(ratios(measure, name, against, "clock"))
            ratio = spread(ratios(measure, name, against))
            lines.append(f"| {name} | {rate:,.0f} | {1e6 / rate:,.1f} | {ratio} | {clock:.2f} |")
    if goals := outcomes(measure):
        lines += ["", "| goal | reached | must reach | |", "|---|---|---|---|"]
        lines += [
            f"| {who} | {figure} | {least} | {'met' if met else '**missed**'} |" for who, figure, least, met in goals
        ]
    return "\n".join([*lines, ""])


def page(processor: str, results: dict[str, Any]) -> str:
    """Return all results of a kind of processor in Markdown."""
    lines = [
        f"# Speed and memory, measured on {processor}",
        "",
        "Generated by `python benchmarks/speed.py`. Contenders take turns on one core with one thread; medians, and",
        "the ratios' medians and ranges over the rounds, of processor time. SB3 is stable-baselines3 as shipped;",
        "another row has it at the precision of matrix products that ours has chosen.",
        "[The goals, on all kinds of processor](../speed.md).",
    ]
    for name in GROUPS:
        if name in results:
            about = ", ".join(f"{key} {value}" for key, value in results[name]["about"].items())
            lines += ["", f"## {name}", "", f"{about}.", ""]
            lines += ["\n".join(table(measure) for measure in results[name]["measures"]).rstrip()]
    return "\n".join([*lines, ""])


def overview(by_processor: dict[str, tuple[str, dict[str, Any]]]) -> str:
    """Return the goals in Markdown, a column for each kind of processor: its name, its file's name, its results."""
    lines = [
        "# Speed and memory, measured",
        "",
        "Generated by `python benchmarks/speed.py`: medians, and the ranges over the rounds, of ratios of processor",
        "time on one core with one thread. Goals are the same for all kinds of processor; a link leads to all figures.",
        "",
        "| measure | goal | must reach | "
        + " | ".join(f"[{processor}](speed/{slug}.md)" for slug, (processor, _) in by_processor.items())
        + " |",
        "|---|---|---|" + "---|" * len(by_processor),
    ]
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for slug, (_, results) in by_processor.items():
        for name in GROUPS:
            for measure in results.get(name, {}).get("measures", []):
                for who, figure, least, met in outcomes(measure):
                    row = rows.setdefault((measure["title"], who, least), {})
                    row[slug] = figure if met else f"{figure}, **missed**"
    for goal, figures in rows.items():
        lines.append(f"| {' | '.join(goal)} | " + " | ".join(figures.get(slug, "") for slug in by_processor) + " |")
    return "\n".join([*lines, ""])


def processor() -> str:
    """Return the kind of this machine's processor: its name, and the widest of its units for matrix products."""
    info = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    for line in info.read_text(encoding="utf-8").splitlines() if info.is_file() else []:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    model = re.sub(r"\((R|TM)\)| (Processor|CPU)\b| @.*", "", fields.get("model name", platform.processor())).strip()
    flags = fields.get("flags", "").split()
    units = {"amx_bf16": "AMX", "avx512f": "AVX-512", "avx2": "AVX2"}
    unit = next((name for flag, name in units.items() if flag in flags), "")
    return f"{model or platform.machine()} with {unit}" if unit else model or platform.machine()


def file_name(processor: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", processor.lower()).strip("-")


def write_results(folder: Path = RESULTS) -> None:
    """Write all pages anew, from what was measured."""
    by_processor = {}
    for record in sorted((folder / "speed").glob("*.json")):
        results = json.loads(record.read_text(encoding="utf-8"))
        name = next(iter(results.values()))["about"]["processor"]
        by_processor[record.stem] = (name, results)
        record.with_suffix(".md").write_text(page(name, results), encoding="utf-8")
    (folder / "speed.md").write_text(overview(by_processor), encoding="utf-8")


def about_here(rounds: int) -> dict[str, Any]:
    """Return what the figures of a group depend on; the commit is that of the package that was imported."""
    import workspace_rl

    source = Path(workspace_rl.__file__).parent.parent
    git = partial(subprocess.run, cwd=source, capture_output=True, text=True, encoding="utf-8")
    commit = git(["git", "rev-parse", "--short", "HEAD"]).stdout.strip()
    changed = git(["git", "status", "--porcelain", "--", "workspace_rl", "agents", "algos"]).stdout.strip()
    packages = ("torch", "numpy", "gymnasium", "stable-baselines3", "bbrl", "bbrl-utils")
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": 1,
        "rounds": rounds,
        "commit": (commit or "unknown") + (" and changes that are not committed" if changed else ""),
        "Python": platform.python_version(),
    } | versions(*packages)


# ---- profiles -----------------------------------------------------------------------------------------------------


def profile(what: str) -> None:
    """Print where a compiled SAC update, or collecting, spends its time."""
    if what == "step":
        for env in ("CartPole-v1", "Pendulum-v1"):
            collect = contenders.ours_collecting(env, 8, 32)
            collect()
            profiler = cProfile.Profile()
            profiler.enable()
            for _ in range(100):
                collect()
            profiler.disable()
            print(f"100 collections of 32 steps from 8 {env}")
            pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
        return
    import torch._inductor.config as inductor

    algorithm = contenders.ours_sac("obs 17, act 6", True)
    buffer = filled_buffer(algorithm.stored_variables, SIZES["obs 17, act 6"], TRANSITIONS)
    update = ours_update(algorithm, buffer)
    # Each generated kernel gets a name in the table.
    with inductor.patch({"cpp.enable_kernel_profile": True}):
        update(5)
        with torch.profiler.profile() as profiler:
            update(100)
    print(f"100 updates, precision {update.precision}")
    print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=30, max_name_column_width=70))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", help=f"{', '.join(GROUPS)}; or: profile update|step")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sbx-python", help="the Python of an environment with sbx-rl; without, SBX is left out")
    arguments = parser.parse_args()
    contenders.settle()
    if arguments.groups[:1] == ["profile"]:
        profile(*arguments.groups[1:] or ["update"])
        return
    if unknown := set(arguments.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    if arguments.sbx_python is None:
        print("SBX is left out: no --sbx-python")
    elif not Path(arguments.sbx_python).is_file():
        print(f"SBX is left out: there is no {arguments.sbx_python}")
        arguments.sbx_python = None
    record = RESULTS / "speed" / f"{file_name(processor())}.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    for name in arguments.groups or GROUPS:
        measures, about = GROUPS[name](arguments.rounds, arguments.sbx_python)
        results = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
        results[name] = {"about": about_here(arguments.rounds) | about, "measures": measures}
        record.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        write_results()


if __name__ == "__main__":
    main()
