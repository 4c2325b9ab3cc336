"""What checkpoints cost, and whether a long run keeps its memory: the figures behind docs/reliability.md.

    python benchmarks/reliability.py [checkpoints] [soak]

`checkpoints`: the share of training time that checkpoints take, at one every 50,000 steps until the replay buffer holds
a million transitions (HalfCheetah-v5's 17 observations and 6 actions). `soak`: two million steps of CartPole-v1 with
updates, evaluations and checkpoints; memory and open files over time. Results go to benchmarks/results/reliability.md.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

from workspace_rl import ReplayBuffer
from workspace_rl.algos import DQN, SAC
from workspace_rl.config.sources import apply_overrides, load_config
from workspace_rl.experience.collector import Collector
from workspace_rl.runs.logger import Logger
from workspace_rl.runs.run import Run

RESULTS = Path(__file__).parent / "results" / "reliability.md"
INTERVAL, TRANSITIONS, TIMED_STEPS = 50_000, 1_000_000, 1_000
SOAK_STEPS = 2_000_000


def checkpoints(folder: Path) -> list[str]:
    config = apply_overrides(load_config("sac/half_cheetah"), [f"base_dir={folder / 'run'}", "compile=true"])
    sac = SAC(config)
    run = sac.run = Run.create(sac.config)
    logger = Logger(run.path / "metrics.csv", None)
    collector = Collector(sac.train_env, sac.policy, sac.random_policy)
    parameters = sac.parameters
    buffer = ReplayBuffer(TRANSITIONS, sac.stored_variables)

    def step() -> None:
        buffer.put(collector.collect(parameters.n_steps))
        for _ in range(int(parameters.updates_per_collect)):
            sac.learn(buffer.sample(parameters.batch_size))
        collector.load_policy(sac.policy)

    saving, per_step = [], []
    with sac.random_state, torch.inference_mode(False):
        torch.set_num_threads(1)
        step()  # compiles
        while sac.steps < TRANSITIONS:
            start = time.perf_counter()
            n = collector.n_transitions
            while collector.n_transitions < n + TIMED_STEPS:
                step()
            per_step.append((time.perf_counter() - start) / (collector.n_transitions - n))
            # The rest of the interval is filled with copies, which weigh the same.
            while buffer.rows.stop < sac.steps + INTERVAL:
                rest = min(10_000, sac.steps + INTERVAL - buffer.rows.stop)
                buffer.put(copies(buffer, rest))
            sac.steps = collector.n_transitions = sac.steps + INTERVAL
            start = time.perf_counter()
            sac._save_checkpoint(run, logger, buffer)
            sac._renew_environments(collector)
            saving.append(time.perf_counter() - start)
    run.unlock()
    share = sum(saving) / (INTERVAL * sum(per_step)) * 100
    size = sum(file.stat().st_size for file in run.checkpoints.folder.iterdir()) / 1e6
    return [
        f"Checkpoints, one every {INTERVAL:,} steps up to {TRANSITIONS:,} transitions (obs 17, act 6, [256, 256]): "
        f"{share:.3f} % of training time; {statistics.median(saving) * 1e3:.0f} ms each (median of {len(saving)}; "
        f"the last {saving[-1] * 1e3:.0f} ms, the slowest {max(saving) * 1e3:.0f} ms), where "
        f"{INTERVAL:,} steps take {INTERVAL * statistics.median(per_step):.0f} s. The folder holds {size:.0f} MB."
    ]


def copies(buffer: ReplayBuffer, n: int):
    from workspace_rl import Workspace

    rows = buffer.read_rows(buffer.rows.stop - 1, buffer.rows.stop)
    frames = Workspace()
    for name, value in rows.items():
        frames.set_full(name, value.expand(n, *value.shape[1:]).clone())
    frames.set_full("env/done", torch.zeros(n, 1, dtype=torch.bool))
    return frames


def soak(folder: Path) -> list[str]:
    overrides = [
        f"base_dir={folder / 'soak'}",
        f"algorithm.total_steps={SOAK_STEPS}",
        "algorithm.buffer_size=100000",
        "algorithm.eval_interval=100000",
        "record_best=false",
    ]
    dqn = DQN(apply_overrides(load_config("dqn/cartpole"), overrides))
    samples: list[tuple[int, int, int]] = []
    over = threading.Event()

    def watch() -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not over.wait(0.5):
            resident = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * page
            samples.append((dqn.steps, resident, len(os.listdir("/proc/self/fd"))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    try:
        dqn.train(progress=False)
    finally:
        over.set()
        watcher.join()
    seconds = time.perf_counter() - start

    def quarter(k: int) -> list[tuple[int, int, int]]:
        return [one for one in samples if k * SOAK_STEPS / 4 <= one[0] < (k + 1) * SOAK_STEPS / 4]

    second, last = (statistics.fmean(one[1] for one in quarter(k)) / 1e6 for k in (1, 3))
    files = [max(one[2] for one in quarter(k)) for k in (1, 3)]
    return [
        f"Soak, {SOAK_STEPS:,} steps of CartPole-v1, {dqn.n_updates:,} updates, {seconds:.0f} s: resident memory "
        f"{second:.1f} MB in the second quarter, {last:.1f} MB in the last ({(last / second - 1) * 100:+.2f} %); open "
        f"files at most {files[0]} and {files[1]}."
    ]


def main() -> None:
    wanted = sys.argv[1:] or ["checkpoints", "soak"]
    known = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.is_file() else []
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            lines = {"checkpoints": checkpoints, "soak": soak}[name](Path(folder))
        print("\n".join(lines), flush=True)
        known = [line for line in known if not line.startswith(f"- {lines[0].partition(',')[0]},")]
        known += [f"- {line}" for line in lines]
    kept = [line for line in known if line.startswith("- ")]
    title = f"# Reliability, measured\n\n`benchmarks/reliability.py`, {platform.machine()}, torch {torch.__version__}"
    RESULTS.write_text("\n".join([title, "", *kept, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
