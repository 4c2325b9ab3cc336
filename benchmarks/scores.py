"""Learning scores: run a shipped configuration with several seeds, and keep the evidence.

    python benchmarks/scores.py run sac/pendulum [key=value ...] --seeds 1 2 3
    python benchmarks/scores.py run sac/minitaur_bullet --after sac-minitaur-bullet-100k
    python benchmarks/scores.py again sac-pendulum-S1
    python benchmarks/scores.py table

`run` trains in `outputs/scores/<name>` (ignored by git) and keeps configuration, `metrics.csv`, evaluation, curve, film
and a description of machine, versions and commit in `benchmarks/scores/<name>`, with the scores of a random policy on
the same episodes. Started again after it was stopped, however that was, it goes on from the last checkpoint; with a
greater `algorithm.total_steps`, or `--after` a shorter run of the same configuration, a finished run becomes longer.
`again` starts a kept run once more and compares what it measures, row by row. `table` writes what `score_tables`
describes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from score_tables import LENGTH, SCORES, differing, write_tables

from workspace_rl.agents import RandomAgent
from workspace_rl.algorithm.names import find_algorithm
from workspace_rl.config.make_env_agent import make_env_agent
from workspace_rl.config.sources import apply_overrides, load_config
from workspace_rl.evaluation.evaluation import evaluate
from workspace_rl.machine.provenance import installed_versions
from workspace_rl.runs.metrics_file import read_metrics

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="train, or go on, and keep the evidence")
    run.add_argument("config")
    run.add_argument("--name", help="the folder's name, without the seed (default: from the configuration's)")
    run.add_argument("--seeds", type=int, nargs="+", default=[1])
    run.add_argument("--after", metavar="NAME", help="begin where the run of that name ends, on a copy of its folder")
    run.add_argument("--note", default="", help="what a reader of the table should know of this run")
    run.add_argument("overrides", nargs="*")
    run.set_defaults(command=run_seeds)
    again = commands.add_parser("again", help="start a kept run once more and compare its first measurements")
    again.add_argument("name")
    again.add_argument("--steps", type=int, default=20_000)
    again.set_defaults(command=run_again)
    random = commands.add_parser("random", help="score a random policy on the episodes of kept runs")
    random.add_argument("names", nargs="+")
    random.set_defaults(command=lambda options: [score_random_policy(SCORES / name) for name in options.names])
    table = commands.add_parser("table", help="write the tables")
    table.set_defaults(command=lambda options: write_tables())
    options = parser.parse_args()
    os.chdir(ROOT)  # so that configurations hold no path of this machine
    options.command(options)


def run_seeds(options: argparse.Namespace) -> None:
    commit = clean_commit()
    for seed in options.seeds:
        name = f"{options.name or options.config.replace('/', '-').replace('_', '-').removesuffix('.yaml')}-S{seed}"
        folder = Path("outputs", "scores", name)
        overrides = [*options.overrides, f"algorithm.seed={seed}", f"base_dir={folder}"]
        config = apply_overrides(load_config(options.config), overrides)
        algorithm = find_algorithm(config.algo)
        if options.after and not folder.exists():
            shorter = folder.with_name(f"{options.after}-S{seed}")
            shutil.copy(shorter.with_suffix(".parts.json"), folder.with_suffix(".parts.json"))
            shutil.copytree(shorter, folder)
        parts = Parts(folder.with_suffix(".parts.json"), commit)
        if (folder / "config.yaml").is_file():
            if changed := differing(config, load_config(folder / "config.yaml")).keys() - {LENGTH}:
                raise SystemExit(
                    f"{name} was begun with another {', '.join(changed)}: give a --name, or remove {folder}"
                )
            if parts.commit != commit:
                raise SystemExit(
                    f"{name} was begun at commit {parts.commit}: go on with it from there, or remove {folder}"
                )
            learner = algorithm.restore(folder, [f"{LENGTH}={config.algorithm.total_steps}"])
        else:
            parts.forget()
            learner = algorithm(config)
        print(f"{name}: from step {learner.steps:,}", flush=True)
        parts.begin(learner.steps)
        result = learner.train(progress=sys.stderr.isatty())
        parts.end(result.steps, "stopped" if result.interrupted else "complete")
        if result.interrupted:
            raise SystemExit(f"{name} was stopped at step {result.steps:,}; the same command goes on with it")
        kept = SCORES / name
        kept.mkdir(parents=True, exist_ok=True)
        for file in ("config.yaml", "metrics.csv", "best/eval.json"):
            shutil.copy(folder / file, kept / Path(file).name)
        if result.video is not None:
            keep_film(result.video, kept)
        about = {
            "configuration": options.config,
            "overrides": options.overrides,
            "seed": seed,
            "note": options.note,
            "commit": commit,
            "steps": result.steps,
            "seconds": round(parts.seconds(), 1),
            "parts": parts.known,
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads available, {processor()}",
            "versions": {"python": platform.python_version()} | installed_versions(),
        }
        (kept / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        draw_curve(kept)
        score_random_policy(kept)
        print(f"{name}: {result.final} in {parts.seconds():.0f} s", flush=True)


class Parts:
    """The stretches of a run between which it was stopped, in a file beside its folder."""

    def __init__(self, path: Path, commit: str) -> None:
        self.path, self._new_commit = path, commit
        self.known: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []

    @property
    def commit(self) -> str | None:
        return self.known[0]["commit"] if self.known else None

    def forget(self) -> None:
        self.known = []

    def begin(self, step: int) -> None:
        """Note that the run goes on from `step`; a stretch that was killed lasted until it measured something last."""
        now = time.time()
        if self.known and "seconds" not in self.known[-1]:
            metrics = self.path.with_suffix("").with_suffix("") / "metrics.csv"
            end = max(metrics.stat().st_mtime if metrics.is_file() else 0, self.known[-1]["begun"])
            self.known[-1] |= {"to": step, "seconds": round(end - self.known[-1]["begun"], 1), "ended": "killed"}
        self.known.append({"commit": self._new_commit, "from": step, "begun": now})
        self._save()

    def end(self, step: int, how: str) -> None:
        seconds = round(time.time() - self.known[-1]["begun"], 1)
        self.known[-1] |= {"to": step, "seconds": seconds, "ended": how}
        self._save()

    def seconds(self) -> float:
        return sum(part["seconds"] for part in self.known)

    def _save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.known, indent=1) + "\n", encoding="utf-8")


def run_again(options: argparse.Namespace) -> None:
    """Start a kept run from its configuration and seed; compare all that both measured up to some step."""
    commit, kept = clean_commit(), SCORES / options.name
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "run")
        # A little longer, so that what a run measures when it ends comes later than what is compared.
        length = [f"algorithm.total_steps={options.steps + 1_000}", "algorithm.final_episodes=0", "record_best=false"]
        config = apply_overrides(load_config(kept / "config.yaml"), [*length, f"base_dir={folder}"])
        find_algorithm(config.algo)(config).train(progress=sys.stderr.isatty())
        ours, theirs = (rows_until(path / "metrics.csv", options.steps) for path in (folder, kept))
    differing = [pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]]
    if differing or len(ours) != len(theirs) or not ours:
        first = differing[0] if differing else f"{len(ours)} rows now, {len(theirs)} then"
        raise SystemExit(f"{options.name} measures something else now: {first}")
    verdict = {"commit": commit, "steps": options.steps, "equal_rows": len(ours)}
    (kept / "again.json").write_text(json.dumps(verdict, indent=1) + "\n", encoding="utf-8")
    print(f"{options.name}: all {len(ours):,} rows of the first {options.steps:,} steps are the same")


def rows_until(path: Path, step: int) -> list[str]:
    return [row for row in path.read_text(encoding="utf-8").splitlines()[1:] if int(row.partition(",")[0]) <= step]


def score_random_policy(kept: Path) -> None:
    """Score uniformly random actions on the very episodes that the run's best policy was scored on."""
    scores = json.loads((kept / "eval.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        config = apply_overrides(load_config(kept / "config.yaml"), [f"base_dir={scratch}/run"])
        learner = find_algorithm(config.algo)(config)
        learner.train_env.close()
        env_agent = make_env_agent(learner.config.gym_env, 10, auto_reset=False)
        try:
            evaluation = evaluate(env_agent, RandomAgent(env_agent.action_space), scores["final"]["seeds"])
        finally:
            env_agent.close()
    scores["random"] = evaluation.as_dict()
    (kept / "eval.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")


def clean_commit() -> str:
    """Return the commit of the checkout, which must not have changes in the library.

    A machine that has a copy of the files alone is told the commit by the environment variable COMMIT.
    """
    if not (ROOT / ".git").exists() and os.environ.get("COMMIT"):
        return os.environ["COMMIT"]
    changed = git("status", "--porcelain", "workspace_rl", "agents", "algos", "configs")
    if changed:
        raise SystemExit(f"commit these first, a score must name the code that it belongs to:\n{changed}")
    return git("rev-parse", "--short=10", "HEAD")


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True
    ).stdout.strip()


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def keep_film(film: Path, kept: Path) -> None:
    """Keep the first seconds of a film, as they are."""
    import imageio_ffmpeg  # only where there are films

    cut = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-i", film, "-t", "10", "-c", "copy"]
    subprocess.run([*cut, kept / film.name], check=True)


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


if __name__ == "__main__":
    main()
