"""The file `metrics.csv` of a run, `step,name,value`: how its lines are written, and how it is read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from workspace_rl.errors import MissingDependencyError, RunFolderError
from workspace_rl.messages.installation import how_to_install

if TYPE_CHECKING:
    import pandas as pd

HEADER = "step,name,value\n"
#: Characters that would end a line of `metrics.csv`, or that no text file can hold.
_UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_QUOTED = re.compile(rf'[",\\]|{_UNWRITABLE.pattern}|^\s|\s$|^$')


def line(step: int, name: str, value: float) -> str:
    """Return the line of a measurement."""
    return f"{step},{written_name(name)},{value!r}\n"


def read_metrics(path: str | Path) -> dict[str, list[tuple[int, float]]]:
    """Return the metrics of a run (its folder, or its `metrics.csv`) as `{name: [(step, value), ...]}`.

    A last line that is still being written is left out.

    Raises:
        RunFolderError: there is no such file, or a line of it is not `step,name,value`.
    """
    path = Path(path)
    path = path / "metrics.csv" if path.is_dir() else path
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[1:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise RunFolderError(f"the metrics {path} cannot be read: {error}") from error
    metrics: dict[str, list[tuple[int, float]]] = {}
    for number, line in enumerate(lines, start=2):
        try:
            step, rest = line.split(",", 1)
            name, value = rest.rsplit(",", 1)
            pair = (int(step), float(value))
            if not 0 <= pair[0] < 2**63:
                raise ValueError("no number of steps")
            metrics.setdefault(_name_read(name), []).append(pair)
        except ValueError as error:
            raise RunFolderError(f"{path}, line {number}: step,name,value expected, {line[:80]!r} found.") from error
    return metrics


def read_frame(paths: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """Return the metrics of several runs as one `pandas.DataFrame`.

    It has a row for each step of each run, and the columns `run` (the folder), `step`, and one for each metric (NaN
    where a step has none).

    Args:
        paths: runs (their folders, or their `metrics.csv`), or folders that hold runs somewhere inside; one or several.

    Raises:
        MissingDependencyError: pandas is not installed.
        RunFolderError: one of the folders holds no run.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingDependencyError(f"tables of metrics need pandas: {how_to_install('plots')}") from error
    frames = []
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        files = [path] if path.is_file() else sorted(path.rglob("metrics.csv"))
        if not files:
            raise RunFolderError(f"{path} holds no measurements: there is no metrics.csv in it or in a folder inside.")
        for file in files:
            frame = pd.DataFrame({name: dict(pairs) for name, pairs in read_metrics(file).items()}).sort_index()
            frame.insert(0, "run", str(file.parent))
            frame.insert(1, "step", frame.index)
            frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["run", "step"])


def written_name(name: str) -> str:
    """Return a name as it stands in `metrics.csv`: in quotes, and escaped as in JSON, where it needs to be."""
    if not _QUOTED.search(name):
        return name
    escaped = json.dumps(name, ensure_ascii=bool(_UNWRITABLE.search(name)))[1:-1]
    return '"' + escaped.replace('\\"', '""') + '"'  # quotes doubled, as readers of CSV expect them


def _name_read(written: str) -> str:
    if len(written) < 2 or not written.startswith('"') or not written.endswith('"'):
        return written
    try:
        return str(json.loads('"' + written[1:-1].replace('""', '\\"') + '"'))
    except ValueError:  # older versions quoted nothing
        return written
