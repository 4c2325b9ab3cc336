"""The page: what stands in it, and how it is put together."""

from __future__ import annotations

import base64
import dataclasses
import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from workspace_rl.errors import ConfigError
from workspace_rl.files import write_text
from workspace_rl.intervals import bootstrap_interval, interquartile_mean, mean
from workspace_rl.report.figures import Picture, return_figure, score_figure, training_figure
from workspace_rl.run import Which, find_algorithm
from workspace_rl.run_record import RunRecord, Scores, flatten

#: A longer film is named, not embedded.
MOST_VIDEO_BYTES = 64_000_000
CONFIDENCE = 0.95
#: Options that differ from their defaults in every run.
IN_EVERY_RUN = ("base_dir", "gym_env.env_name", "matmul_precision", "algorithm.total_steps")


def write_report(run: str | Path, path: str | Path | None = None, *, composition: str | None = None) -> Path:
    """Write the report of a run: one HTML file, which needs no network and no other file.

    Nothing of the run is executed or imported. A run that is still going on, or was interrupted, is told as far as it
    got.

    Args:
        run: the run's folder.
        path: the file; `report.html` in the run's folder unless given.
        composition: a diagram of the run's agents, the text of an SVG; the page has no such section unless given.

    Returns:
        The file's path.

    Raises:
        RunFolderError: the folder holds no run, is damaged, or the file cannot be written.
        ConfigError: the run's configuration is no YAML dictionary.
        MissingDependencyError: matplotlib or scipy is not installed.
    """
    path = Path(run).expanduser() / "report.html" if path is None else Path(path)
    write_text(path, report_page(run, composition=composition))
    return path


def report_page(run: str | Path, *, composition: str | None = None) -> str:
    """Return the report of a run as HTML; arguments and errors are those of `write_report`."""
    record = RunRecord(run)
    metrics = record.metrics()
    evaluations = [one for one in (_score(record, *which) for which in EVALUATIONS) if one is not None]
    # Whatever a run says is escaped, since it may be a stranger's; Markup is only what this package draws itself.
    templates = Environment(
        loader=PackageLoader("workspace_rl.report", "."), autoescape=True, undefined=StrictUndefined, finalize=_shown
    )
    templates.filters["number"] = _number
    return templates.get_template("page.html").render(
        style=Markup(templates.get_template("page.css").render()),
        record=record,
        algorithm=_title(record),
        facts=_facts(record, metrics, evaluations),
        video=_video(record),
        composition=composition and _data_url("image/svg+xml", composition.encode()),
        evaluations=evaluations,
        score_picture=score_figure({one.name: one.scores.returns for one in evaluations}, CONFIDENCE),
        return_picture=return_figure(metrics, record.policy_step("best")),
        training_pictures=_training_pictures(record, metrics),
        score_rows=list(zip(*(one.rows() for one in evaluations), strict=True)),
        options=_options(record),
        defaults_known=_defaults(record) is not None,
        provenance=_sections(record.provenance()),
        confidence=CONFIDENCE,
    )


# ---- what stands in it --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """An evaluation of a policy, summed up."""

    name: str
    note: str
    scores: Scores

    @property
    def returns(self) -> np.ndarray:
        """The episodes' returns, `[n]`."""
        return np.array(self.scores.returns)

    def rows(self) -> list[tuple[str, float, tuple[float, float] | None]]:
        """Return what there is to tell of the returns: a name, a number, and its interval."""
        rows: list[tuple[str, float, tuple[float, float] | None]] = [
            (name, float(statistic(self.returns)), interval_of(self.returns, statistic))
            for name, statistic in (("mean", mean), ("interquartile mean", interquartile_mean))
        ]
        return [
            *rows,
            ("standard deviation", float(self.returns.std()), None),
            ("least", float(self.returns.min()), None),
            ("greatest", float(self.returns.max()), None),
        ]

    def episodes(self) -> list[tuple[float, Any, Any]]:
        """Return each episode's return, length and seed (None where unknown)."""
        known = [self.scores.lengths, self.scores.seeds]
        lengths, seeds = (one if len(one) == len(self.returns) else [None] * len(self.returns) for one in known)
        return list(zip(self.scores.returns, lengths, seeds, strict=True))


#: Which evaluations are told: the policy, the kind, a name and a note.
EVALUATIONS: Sequence[tuple[Which, str, str, str]] = (
    ("best", "final", "Final score", "the best policy, on fresh episodes that selected nothing"),
    ("best", "selection", "Selection", "the evaluation that chose the best policy, and so is too favourable"),
    ("latest", "selection", "Latest policy", "the last evaluation while training"),
)


def _score(record: RunRecord, which: Which, kind: str, name: str, note: str) -> Score | None:
    scores = record.scores(which, kind)
    return scores and Score(name, note, scores)


def interval_of(returns: np.ndarray, statistic: Any = mean) -> tuple[float, float] | None:
    """Return the bootstrap interval of a statistic of the episodes' returns, None for a single one."""
    low, high = bootstrap_interval([returns], statistic, confidence=CONFIDENCE, n_resamples=10_000)
    return None if np.isnan(low) else (float(low), float(high))


def _facts(record: RunRecord, metrics: Any, evaluations: Sequence[Score]) -> list[tuple[str, str, str]]:
    """Return the most important facts: a name, a value, and a note."""
    options = record.options
    steps = max((pairs[-1][0] for pairs in metrics.values()), default=0)
    planned = options.get("algorithm.total_steps")
    going_on = isinstance(planned, int) and steps < planned
    facts = [
        ("Environment", record.environment, ""),
        ("Algorithm", record.algorithm, f"seed {options.get('algorithm.seed')}"),
    ]
    facts.append(("Steps", f"{steps:,}", f"of {planned:,} planned" if going_on else "of the environment"))
    by_name = {one.name: one for one in evaluations}
    if "Selection" in by_name:
        step = record.policy_step("best")
        note = "" if step is None else f"at step {step:,}"
        facts.append(("Best evaluation", _number(by_name["Selection"].returns.mean()), note))
    if "Final score" in by_name:
        final = by_name["Final score"].returns
        interval = interval_of(final)
        note = "one episode" if interval is None else f"{_interval(interval)}, {len(final)} episodes"
        facts.append(("Final score", _number(final.mean()), note))
    return facts


def _options(record: RunRecord) -> dict[str, list[tuple[str, Any, bool]]]:
    """Return the configuration by section: each option's name, value, and whether it differs from its default."""
    defaults = _defaults(record)
    unchanged = record.options if defaults is None else defaults
    return {
        section: [
            (
                name,
                value,
                (full := f"{section}.{name}" if section else name) not in IN_EVERY_RUN
                and (full not in unchanged or unchanged[full] != value),
            )
            for name, value in rows
        ]
        for section, rows in _sections(record.config).items()
    }


def _title(record: RunRecord) -> str:
    """Return the algorithm's name as it is written."""
    try:
        return find_algorithm(record.algorithm).__name__
    except ConfigError:
        return record.algorithm


def _defaults(record: RunRecord) -> dict[str, Any] | None:
    """Return the options' defaults, None for somebody's own algorithm."""
    try:
        return flatten(dataclasses.asdict(find_algorithm(record.algorithm).config_class()))
    except ConfigError:
        return None


def _sections(nested: Mapping[Any, Any]) -> dict[str, list[tuple[str, Any]]]:
    """Return nested dictionaries as tables, by the name of the first level; what has no section comes under ""."""
    sections: dict[str, list[tuple[str, Any]]] = {"": []}
    for name, value in nested.items():
        if isinstance(value, Mapping) and value:
            sections[str(name)] = list(flatten(value).items())
        else:
            sections[""].append((str(name), value))
    return {name: rows for name, rows in sections.items() if rows}


def _training_pictures(record: RunRecord, metrics: Any) -> dict[str, Picture]:
    """Return the panels of what else was measured, by heading."""
    shown = {"Losses and gradient norms": ("loss/", "gradient_norm/")}
    groups = {title: [name for name in metrics if name.startswith(prefixes)] for title, prefixes in shown.items()}
    told = {name for names in groups.values() for name in names} | {
        "eval/return_mean",
        "eval/return_std",
        "train/episode_return",
    }
    groups["Other measurements"] = [name for name in metrics if name not in told]
    pictures = {title: training_figure(record.path, names) for title, names in groups.items() if names}
    return {title: picture for title, picture in pictures.items() if picture is not None}


def _video(record: RunRecord) -> dict[str, str] | None:
    """Return the film as a data URL, or only its name where it is too long, None if there is none."""
    file = record.video()
    if file is None:
        return None
    if file.stat().st_size > MOST_VIDEO_BYTES:
        return {"name": str(file.relative_to(record.path)), "url": ""}
    return {"name": file.name, "url": _data_url("video/mp4", file.read_bytes())}


def _data_url(kind: str, content: bytes) -> str:
    """Return the address of an image or film that is its content: no script in it runs, and nothing is fetched."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


# ---- how it is shown ----------------------------------------------------------------------------------------------

#: Characters that are not seen, or turn the direction of what follows.
HIDDEN = dict.fromkeys(
    (code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs")), " "
)


def _shown(value: Any) -> Any:
    """Return what the page shows of a value, before it is escaped."""
    if isinstance(value, Markup):
        return value
    return (value if isinstance(value, str) else json.dumps(value, default=str)).translate(HIDDEN)


def _number(value: float) -> str:
    return f"{value:,.2f}" if abs(value) < 1e6 else f"{value:.4g}"


def _interval(interval: tuple[float, float]) -> str:
    return f"{CONFIDENCE:.0%} interval {_number(interval[0])} to {_number(interval[1])}"
