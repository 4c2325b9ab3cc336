"""Learning scores: run a shipped configuration with several seeds, and keep the evidence.

    python benchmarks/scores.py run sac/pendulum [key=value ...] --seeds 1 2 3
    python benchmarks/scores.py table

`run` trains in `outputs/scores/<name>` (ignored by git) and keeps configuration, `metrics.csv`, evaluation, curve and
a description of machine, versions and commit in `benchmarks/scores/<name>`. Started again after it was stopped, however
that was, it goes on from the last checkpoint. `table` writes `benchmarks/README.md`, the first lines of the shipped
configurations, and the scores on the algorithms' pages in `docs`, from what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from workspace_rl.config import apply_overrides, load_config, shipped_configs
from workspace_rl.logger import read_metrics
from workspace_rl.provenance import installed_versions
from workspace_rl.run import find_algorithm

ROOT = Path(__file__).parent.parent
SCORES = ROOT / "benchmarks" / "scores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run")
    run.add_argument("config")
    run.add_argument("--name", help="the folder's name, without the seed (default: from the configuration's)")
    run.add_argument("--seeds", type=int, nargs="+", default=[1])
    run.add_argument("overrides", nargs="*")
    run.set_defaults(command=run_seeds)
    table = commands.add_parser("table")
    table.set_defaults(command=lambda options: write_summaries())
    options = parser.parse_args()
    options.command(options)


def run_seeds(options: argparse.Namespace) -> None:
    commit = clean_commit()
    os.chdir(ROOT)  # so that configurations hold no path of this machine
    for seed in options.seeds:
        name = f"{options.name or options.config.replace('/', '-').replace('_', '-').removesuffix('.yaml')}-S{seed}"
        folder = Path("outputs", "scores", name)
        overrides = [*options.overrides, f"algorithm.seed={seed}", f"base_dir={folder}"]
        config = apply_overrides(load_config(options.config), overrides)
        algorithm = find_algorithm(config.algo)
        parts = Parts(folder.with_suffix(".parts.json"), commit)
        if (folder / "config.yaml").is_file():
            learner = algorithm.restore(folder)
            if parts.commit != commit:
                raise SystemExit(
                    f"{name} was begun at commit {parts.commit}: go on with it from there, or remove {folder}"
                )
        else:
            parts.forget()
            learner = algorithm(config)
        print(f"{name}: from step {learner.steps:,}", flush=True)
        parts.begin(learner.steps)
        result = learner.train(progress=sys.stderr.isatty())
        parts.end(result.steps)
        if result.interrupted:
            raise SystemExit(f"{name} was stopped at step {result.steps:,}; the same command goes on with it")
        kept = SCORES / name
        kept.mkdir(parents=True, exist_ok=True)
        for file in ("config.yaml", "metrics.csv", "best/eval.json", "best/best_agent.mp4"):
            if (folder / file).is_file():
                shutil.copy(folder / file, kept / Path(file).name)
        about = {
            "configuration": options.config,
            "overrides": options.overrides,
            "seed": seed,
            "commit": commit,
            "steps": result.steps,
            "seconds": round(parts.seconds(), 1),
            "parts": parts.known,
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads available, {processor()}",
            "versions": {"python": platform.python_version()} | installed_versions(),
        }
        (kept / "about.json").write_text(json.dumps(about, indent=1) + "\n")
        draw_curve(kept)
        print(f"{name}: {result.final} in {parts.seconds():.0f} s", flush=True)


class Parts:
    """The stretches of a run between which it was stopped, in a file beside its folder."""

    def __init__(self, path: Path, commit: str) -> None:
        self.path, self._new_commit = path, commit
        self.known: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []

    @property
    def commit(self) -> str | None:
        return self.known[0]["commit"] if self.known else None

    def forget(self) -> None:
        self.known = []

    def begin(self, step: int) -> None:
        """Note that the run goes on from `step`; of a stretch that was killed, what its checkpoint kept counts."""
        now = time.time()
        if self.known and "seconds" not in self.known[-1]:
            checkpoint = self.path.with_suffix("").with_suffix("") / "checkpoints" / f"checkpoint-{step}.json"
            end = checkpoint.stat().st_mtime if checkpoint.is_file() else self.known[-1]["begun"]
            self.known[-1] |= {"to": step, "seconds": round(end - self.known[-1]["begun"], 1), "ended": "killed"}
        self.known.append({"commit": self._new_commit, "from": step, "begun": now})
        self._save()

    def end(self, step: int) -> None:
        seconds = round(time.time() - self.known[-1]["begun"], 1)
        self.known[-1] |= {"to": step, "seconds": seconds, "ended": "by itself"}
        self._save()

    def seconds(self) -> float:
        return sum(part["seconds"] for part in self.known)

    def _save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.known, indent=1) + "\n")


def clean_commit() -> str:
    """Return the commit of the checkout, which must not have changes in the library."""
    changed = git("status", "--porcelain", "workspace_rl", "agents", "algos", "configs")
    if changed:
        raise SystemExit(f"commit these first, a score must name the code that it belongs to:\n{changed}")
    return git("rev-parse", "--short=10", "HEAD")


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def draw_curve(folder: Path) -> None:
    metrics = read_metrics(folder)
    figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for name, label in (("train/episode_return", "training episodes"), ("eval/return_mean", "evaluation")):
        if name in metrics:
            axis.plot(*zip(*metrics[name], strict=True), label=label)
    axis.set(xlabel="environment steps", ylabel="return", title=folder.name)
    axis.legend()
    figure.savefig(folder / "curve.png", dpi=80)
    plt.close(figure)


def write_summaries() -> None:
    runs = [
        (folder, *(json.loads((folder / file).read_text()) for file in ("about.json", "eval.json")))
        for folder in sorted(SCORES.iterdir())
    ]
    write_table(runs)
    write_guides(runs)
    for name in shipped_configs():
        same = [(about, scores["final"]) for _, about, scores in runs if about["configuration"] == name]
        full = [(about, final) for about, final in same if not about["overrides"]]
        path = ROOT / "configs" / f"{name}.yaml"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join([f"# {summary(full, same)}\n", *lines[1:]]))


def summary(full: list[Any], all_runs: list[Any]) -> str:
    """Return what is known of a configuration's score, in one line."""
    if full:
        means = ", ".join(f"{final['mean']:.1f}" for _, final in full)
        seeds = ", ".join(str(about["seed"]) for about, _ in full)
        commits = ", ".join(dict.fromkeys(about["commit"] for about, _ in full))
        about, final = full[0]
        return (
            f"Score {means} (seed {seeds}; mean return of {final['episodes']} fresh episodes, best policy of "
            f"{about['steps']:,} steps; commit {commits})"
        )
    if all_runs:
        about, final = all_runs[0]
        short = f"{final['mean']:.1f} after {about['steps']:,} steps (commit {about['commit']})"
        return f"Its full length is not yet measured; {short}"
    return "not yet measured"


def write_table(runs: list[Any]) -> None:
    rows = []
    for folder, about, scores in runs:
        final, selection = scores["final"], scores["selection"]
        cells = (
            f"[{folder.name}](scores/{folder.name})",
            f"{about['steps']:,}",
            f"**{final['mean']:.1f}** ± {final['std']:.1f}",
            final["episodes"],
            f"{selection['mean']:.1f} at {scores['step']:,}",
            f"{about['seconds']:.0f}",
            f"{about['steps'] / about['seconds']:.0f}",
            f"`{about['commit']}`",
            " ".join(about["overrides"]),
        )
        rows.append(f"| {' | '.join(map(str, cells))} |")
    (ROOT / "benchmarks" / "README.md").write_text(TABLE.format(rows="\n".join(rows)))


def write_guides(runs: list[Any]) -> None:
    """Put the scores of each algorithm at the end of its page, after the mark."""
    for path in sorted((ROOT / "docs" / "algorithms").glob("*.md")):
        lines = [GUIDE_HEADER]
        for folder, about, scores in runs:
            if folder.name.startswith(f"{path.stem}-"):
                final, link = scores["final"], f"[{folder.name}](../../benchmarks/scores/{folder.name})"
                score = f"**{final['mean']:.1f}** ± {final['std']:.1f}"
                changed = " ".join(about["overrides"])
                lines.append(f"| {link} | {about['steps']:,} | {score} | {final['episodes']} | {changed} |")
        text, mark, _ = path.read_text().partition(GUIDE_MARK)
        path.write_text(text + mark + "\n".join(lines) + "\n")


GUIDE_MARK = "<!-- scores: written by `python benchmarks/scores.py table` -->\n\n"
GUIDE_HEADER = "| run | steps | final return | episodes | changed |\n|---|---|---|---|---|"

TABLE = """# Measured scores

Each row is one run of a shipped configuration: `python benchmarks/scores.py run <configuration> --seeds <seed>`. Its
folder holds the resolved configuration, everything that was measured (`metrics.csv`), the evaluation's episodes with
their seeds (`eval.json`), the curve, a video of the best policy, and machine, versions and commit (`about.json`).

The final score is that of the run's best policy, acting deterministically, on fresh episodes whose seeds selected
nothing; the evaluation that chose it stands beside it, and is flattered by the choice. Seconds are wall time, final
evaluation and video included, on two cores that several runs shared: an upper bound. Runs whose name ends in 20k or 50k
only show that the configuration runs, with finite losses; their full length is still to be measured. This page is
generated (`python benchmarks/scores.py table`).

| run | steps | final return | episodes | chosen by | seconds | steps/s | commit | changed |
|---|---|---|---|---|---|---|---|---|
{rows}
"""


if __name__ == "__main__":
    main()
