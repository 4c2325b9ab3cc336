"""Tables of the runs in `benchmarks/scores`, generated from their folders.

`write_tables` writes `benchmarks/scores/README.md`, where each run stands beside the scores that others have published
(`published.yaml`), the first lines of the shipped configurations, and the scores on the algorithms' pages in `docs`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from workspace_rl.algorithm.names import find_algorithm
from workspace_rl.config.plain_yaml import read_yaml
from workspace_rl.config.schema import flatten, resolve_config
from workspace_rl.config.sources import load_config, shipped_configs
from workspace_rl.runs.groups import WITHOUT_EFFECT

ROOT = Path(__file__).parent.parent
SCORES = ROOT / "benchmarks" / "scores"
LENGTH = "algorithm.total_steps"
#: What a configuration that freezes features leaves to its user.
FEATURES = "algorithm.architecture.features_from"


@dataclass(frozen=True)
class KeptRun:
    """The evidence of one run."""

    folder: Path
    about: dict[str, Any]
    scores: dict[str, Any]
    #: The verdict of having started it once more; None if it has not been.
    again: dict[str, Any] | None

    @property
    def score(self) -> str:
        """The final score, as it is written everywhere."""
        final = self.scores["final"]
        return f"**{final['mean']:.1f}** ± {final['std']:.1f}"

    @functools.cached_property
    def algorithm(self) -> str:
        """The name of the algorithm, as configurations have it."""
        return str(load_config(self.folder / "config.yaml").algo)

    @functools.cached_property
    def differences(self) -> dict[str, Any]:
        """Parameters in which the run differs from the configuration as it is shipped now, with the run's values."""
        ran, shipped = load_config(self.folder / "config.yaml"), load_config(self.about["configuration"])
        return differing(ran, shipped)

    @property
    def unlike_shipped(self) -> set[str]:
        """The names of `differences`, without a parameter that the shipped configuration leaves to its user."""
        architecture = load_config(self.about["configuration"]).algorithm.get("architecture", {})
        return self.differences.keys() - ({FEATURES} if architecture.get("freeze_features") else set())

    @property
    def changed(self) -> str:
        """What differs from the shipped configuration."""
        return " ".join(f"{key}={value}" for key, value in self.differences.items())


def differing(first: DictConfig, second: DictConfig) -> dict[str, Any]:
    """Return the values of `first` that `second` does not have, of what decides on how and how long a run learns."""
    ours, theirs = (
        flatten(dataclasses.asdict(resolve_config(find_algorithm(config.algo).config_class, config)))
        for config in (first, second)
    )
    counts = [key for key in ours if not key.startswith(WITHOUT_EFFECT)]
    found = {key: ours[key] for key in counts if key not in theirs or ours[key] != theirs[key]}
    # Where on its machine a run found another one is nobody's concern.
    return {key: Path(value).name if key.endswith("features_from") else value for key, value in found.items()}


def kept_runs() -> list[KeptRun]:
    """Return all runs in `benchmarks/scores`, by name."""
    runs = []
    for path in sorted(SCORES.glob("*/about.json")):
        again = path.with_name("again.json")
        runs.append(
            KeptRun(
                path.parent,
                json.loads(path.read_text(encoding="utf-8")),
                json.loads(path.with_name("eval.json").read_text(encoding="utf-8")),
                json.loads(again.read_text(encoding="utf-8")) if again.is_file() else None,
            )
        )
    return runs


def write_tables() -> None:
    """Write everything that is generated from the runs."""
    for path, text in tables().items():
        path.write_text(text, encoding="utf-8")


def tables() -> dict[Path, str]:
    """Return the text of each file that is generated, wholly or in part, from the runs."""
    runs = kept_runs()
    published: Any = read_yaml((SCORES / "published.yaml").read_text(encoding="utf-8"))
    beside = "\n\n".join(beside_published(name, theirs, runs) for name, theirs in published.items())
    texts = {SCORES / "README.md": PAGE.format(beside=beside, rows="\n".join(row(run) for run in runs))}
    for path in sorted((ROOT / "docs" / "algorithms").glob("*.md")):
        texts[path] = guide(path, runs)
    for name in shipped_configs():
        path = ROOT / "configs" / f"{name}.yaml"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        same = [run for run in runs if run.about["configuration"] == name]
        texts[path] = "".join([f"# {summary(same)}\n", *lines[1:]])
    return texts


def beside_published(configuration: str, published: dict[str, Any], runs: list[KeptRun]) -> str:
    """Return a table of one configuration's scores, ours first."""
    lines = [
        f"### {configuration}",
        "",
        published["task"],
        "",
        "| return | steps | whose | wall time | protocol, and what differs |",
        "|---|---|---|---|---|",
    ]
    for run in runs:
        if run.about["configuration"] == configuration:
            lines.append(
                f"| {run.score} | {run.about['steps']:,} | [{run.folder.name}]({run.folder.name}) | "
                f"{duration(run.about['seconds'])} | {protocol(run)} |"
            )
    for theirs in published["scores"]:
        cells = (theirs["return"], theirs["steps"], theirs["whose"], theirs.get("time", ""), theirs["differs"])
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += [line for text in published.get("tried", []) for line in ("", f"Tried, too: {text}")]
    return "\n".join(lines)


def protocol(run: KeptRun) -> str:
    final, random = run.scores["final"], run.scores.get("random")
    texts = [f"{final['episodes']} fresh episodes, from {min(final['returns']):.1f} to {max(final['returns']):.1f}"]
    if random is not None:
        texts.append(f"a random policy on the same ones {random['mean']:.1f}, at most {max(random['returns']):.1f}")
    parts = run.about.get("parts", [])
    for how, complete in (("stopped and resumed", False), ("went on after a shorter run had ended", True)):
        at = [f"{after['from']:,}" for before, after in pairwise(parts) if (before["ended"] == "complete") == complete]
        if at:
            texts.append(f"{how} (from step {', '.join(at)})")
    if run.again is not None:
        texts.append(
            f"started again, the first {run.again['steps']:,} steps measure the same "
            f"({run.again['equal_rows']:,} rows, commit `{run.again['commit']}`)"
        )
    if run.changed:
        texts.append(f"`{run.changed}`")
    if run.about.get("note"):
        texts.append(run.about["note"])
    return "; ".join(texts)


def duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{max(minutes, 1)} min"


def row(run: KeptRun) -> str:
    about, final, selection = run.about, run.scores["final"], run.scores["selection"]
    cells = (
        f"[{run.folder.name}]({run.folder.name})",
        f"{about['steps']:,}",
        run.score,
        final["episodes"],
        f"{selection['mean']:.1f} at {run.scores['step']:,}",
        f"{about['seconds']:.0f}",
        f"{about['steps'] / about['seconds']:.0f}",
        f"`{about['commit']}`",
        run.changed,
    )
    return f"| {' | '.join(map(str, cells))} |"


def summary(runs: list[KeptRun]) -> str:
    """Return what is known of a configuration's score, in one line."""
    full = [run for run in runs if not run.unlike_shipped]
    runs = [run for run in runs if run.unlike_shipped <= {LENGTH}]
    if full:
        means = ", ".join(f"{run.scores['final']['mean']:.1f}" for run in full)
        seeds = ", ".join(str(run.about["seed"]) for run in full)
        commits = ", ".join(dict.fromkeys(run.about["commit"] for run in full))
        return (
            f"Score {means} (seed {seeds}; mean return of {full[0].scores['final']['episodes']} fresh episodes, best "
            f"policy of {full[0].about['steps']:,} steps; commit {commits})"
        )
    if runs:
        longest = max(runs, key=lambda run: run.about["steps"])
        short = f"{longest.scores['final']['mean']:.1f} after {longest.about['steps']:,} steps"
        return f"Its full length is not yet measured; {short} (commit {longest.about['commit']})"
    return "not yet measured"


def guide(path: Path, runs: list[KeptRun]) -> str:
    """Return an algorithm's page with its scores at the end, after the mark."""
    lines = ["| run | steps | final return | episodes | changed |", "|---|---|---|---|---|"]
    for run in runs:
        if run.algorithm == path.stem:
            link = f"[{run.folder.name}](../../benchmarks/scores/{run.folder.name})"
            episodes = run.scores["final"]["episodes"]
            lines.append(f"| {link} | {run.about['steps']:,} | {run.score} | {episodes} | {run.changed} |")
    text, mark, _ = path.read_text(encoding="utf-8").partition(GUIDE_MARK)
    if not mark:
        raise ValueError(f"{path} does not say where its scores stand: {GUIDE_MARK.strip()}")
    return text + mark + "\n".join(lines) + "\n"


GUIDE_MARK = "<!-- scores: written by `python benchmarks/scores.py table` -->\n\n"

PAGE = """# Measured scores

Each row is one run of a shipped configuration: `python benchmarks/scores.py run <configuration> --seeds <seed>`. Its
folder holds the resolved configuration, everything that was measured (`metrics.csv`), the evaluation's episodes with
their seeds (`eval.json`), the curve, a film of the best policy, and machine, versions and commit (`about.json`).

The final score is that of the run's best policy, acting deterministically, on fresh episodes whose seeds selected
nothing; the evaluation that chose it stands beside it, and is flattered by the choice. Times are wall time, final
evaluation and film included, on one of two cores that others used, too: an upper bound. Where a run was stopped, it
went on from its last checkpoint, and steps done twice count twice. This page is generated
(`python benchmarks/scores.py table`), with the published scores of [published.yaml](published.yaml).

## Beside published scores

{beside}

## All runs

| run | steps | final return | episodes | chosen by | seconds | steps/s | commit | changed |
|---|---|---|---|---|---|---|---|---|
{rows}
"""
