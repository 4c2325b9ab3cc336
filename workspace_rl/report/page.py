"""The page: what stands in it, and how it is put together."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from workspace_rl.drawing.text import visible_text
from workspace_rl.errors import RenderingError
from workspace_rl.machine.files import absolute, write_text
from workspace_rl.report.figures import Metrics, Picture, return_figure, score_figure, training_figure
from workspace_rl.report.options import default_options, option_tables, written_name
from workspace_rl.report.scores import CONFIDENCE, Score, read_scores
from workspace_rl.runs.folder import COMPOSITION
from workspace_rl.runs.record import RunRecord

#: A longer film is named, not embedded.
MOST_VIDEO_BYTES = 64_000_000

#: What the first picture of the page shows.
RETURNS = ("eval/return_mean", "eval/return_std", "train/episode_return")
#: The pictures that follow, by their names' beginnings; the last one has what is left.
PANELS = {
    "Losses and gradient norms": ("loss/", "gradient_norm/"),
    "Age of the weights that collected": ("weights_age/",),
    "Other measurements": ("",),
}
#: Stretches of training whose collectors are told, the last ones: a run may have been resumed often.
MOST_STRETCHES = 8


def write_report(run: str | Path, path: str | Path | None = None) -> Path:
    """Write the report of a run: one HTML file, which needs no network and no other file.

    Nothing of the run is executed or imported. A run that is still going on, or was interrupted, is told as far as it
    got. The same run gives the same file.

    Args:
        run: the run's folder.
        path: the file; `report.html` in the run's folder unless given.

    Returns:
        The file's path.

    Raises:
        RenderingError: the file's name does not end in .html or .htm.
        RunFolderError: the folder holds no run, is damaged, or the file cannot be written.
        ConfigError: the run's configuration is no YAML dictionary.
        MissingDependencyError: matplotlib or scipy is not installed.
    """
    run = absolute(run)
    path = run / "report.html" if path is None else absolute(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise RenderingError(
            f"a report is an .html file, but {str(path)!r} was asked for. A browser opens it, and prints it as a PDF."
        )
    write_text(path, report_page(run))
    return path


def report_page(run: str | Path) -> str:
    """Return the report of a run as HTML; arguments and errors are those of `write_report`."""
    record = RunRecord(run)
    composition = record.file(COMPOSITION)
    metrics = record.metrics()
    scores = read_scores(record)
    # Whatever a run says is escaped, since it may be a stranger's; Markup is only what this package makes itself.
    templates = Environment(
        loader=PackageLoader("workspace_rl.report", "."), autoescape=True, undefined=StrictUndefined, finalize=_shown
    )
    templates.filters["number"] = _number
    return templates.get_template("page.html").render(
        style=Markup(templates.get_template("page.css").render()),
        path=record.path.as_posix(),
        algorithm=written_name(record.algorithm),
        environment=record.environment,
        facts=_facts(record, metrics, scores),
        video=_video(record),
        # As an image, whatever the diagram contains stays without effect on the page.
        composition=composition and _data_url("image/svg+xml", composition.read_bytes()),
        scores=scores,
        score_rows=list(zip(*(one.rows() for one in scores), strict=True)),
        score_picture=score_figure({one.name: one.scores.returns for one in scores}, CONFIDENCE),
        confidence=f"{CONFIDENCE:.0%}",
        collectors=_collectors(record),
        return_picture=return_figure(metrics, record.policy_step("best")),
        training_pictures=_training_pictures(record, metrics),
        not_finite=_not_finite(metrics),
        options=option_tables(record.config, default_options(record.algorithm, record.config)),
        provenance=option_tables(record.provenance()),
    )


# ---- what stands in it --------------------------------------------------------------------------------------------


def _facts(record: RunRecord, metrics: Metrics, scores: Sequence[Score]) -> list[tuple[str, str, str]]:
    """Return the most important facts: a name, a value, and a note."""
    facts = []
    by_name = {one.name: one for one in scores}
    if final := by_name.get("Final score"):
        interval = final.interval()
        limits = f"{CONFIDENCE:.0%} interval {_number(interval[0])} to {_number(interval[1])}, " if interval else ""
        facts.append(("Final score", _number(final.mean_return), f"{limits}{len(final.returns)} fresh episodes"))
    if selection := by_name.get("Selection"):
        step = record.policy_step("best")
        facts.append(("Best evaluation", _number(selection.mean_return), "" if step is None else f"at step {step:,}"))
    steps = max((pairs[-1][0] for pairs in metrics.values()), default=0)
    planned = record.options.get("algorithm.total_steps")
    unfinished = isinstance(planned, int) and steps < planned
    facts.append(("Steps", f"{steps:,}", f"of {planned:,}" if unfinished else "of the environment"))
    seconds = record.wall_time()
    if seconds is not None:
        facts.append(("Wall time", _duration(seconds), "of training, scoring and filming"))
    facts.append(("Seed", str(record.options.get("algorithm.seed", "unknown")), "of training"))
    return facts


def _collectors(record: RunRecord) -> tuple[list[str], list[tuple[str, list[Any]]]]:
    """Return the stretches in which collectors collected, and of each figure its name and its value in each of them."""
    stretches = record.collectors()[-MOST_STRETCHES:]
    heads = [f"steps {one.get('from_step', '?')} to {one.get('to_step', '?')}" for one in stretches]
    names = [name for name in dict.fromkeys(name for one in stretches for name in one) if not name.endswith("_step")]
    return heads, [(name.replace("_", " "), [one.get(name, "") for one in stretches]) for name in names]


def _training_pictures(record: RunRecord, metrics: Metrics) -> dict[str, Picture]:
    """Return the panels of what else was measured, by heading."""
    finite = {name for name, pairs in metrics.items() if any(math.isfinite(value) for _, value in pairs)}
    left = sorted(finite.difference(RETURNS))
    pictures = {}
    for title, beginnings in PANELS.items():
        names = [name for beginning in beginnings for name in left if name.startswith(beginning)]
        left = [name for name in left if name not in names]
        if names:
            pictures[title] = training_figure(record.path, names)
    return pictures


def _not_finite(metrics: Metrics) -> list[tuple[str, int]]:
    """Return the metrics that were not finite at some time, each with the first step of it."""
    found = {
        name: next((step for step, value in pairs if not math.isfinite(value)), None) for name, pairs in metrics.items()
    }
    return [(name, step) for name, step in found.items() if step is not None]


def _video(record: RunRecord) -> dict[str, str] | None:
    """Return the film's name and its address, which is empty where it is too long; None if there is none."""
    file = record.video()
    if file is None:
        return None
    embedded = file.stat().st_size <= MOST_VIDEO_BYTES
    name = file.relative_to(record.path).as_posix()
    return {"name": name, "url": _data_url("video/mp4", file.read_bytes()) if embedded else ""}


# ---- how it is shown ----------------------------------------------------------------------------------------------


def _data_url(kind: str, content: bytes) -> Markup:
    """Return the address of an image or film that is its own content: no script runs in it, and nothing is fetched."""
    return Markup(f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}")


def _shown(value: Any) -> Any:
    """Return what the page shows of a value, before it is escaped."""
    if isinstance(value, Markup):
        return value
    return visible_text(value if isinstance(value, str) else json.dumps(value, default=str))


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _number(value: float) -> str:
    return f"{value:,.2f}" if abs(value) < 1e6 else f"{value:.4g}"
