"""What the folder of a run says, read as mere data: a stranger may have written it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from workspace_rl.config.schema import flatten
from workspace_rl.config.sources import load_config
from workspace_rl.errors import ConfigError, RunFolderError
from workspace_rl.evaluation.evaluation import Evaluation
from workspace_rl.machine.files import is_inside
from workspace_rl.runs.folder import COLLECTORS, CONFIG, PROVENANCE, WALL_TIME
from workspace_rl.runs.metrics_file import read_metrics


class RunRecord:
    """A run to be looked at: `config` (the resolved configuration, plain data), metrics, scores, origin and film.

    Unlike `Run`, it checks no configuration against an algorithm's schema, so that runs of one's own algorithms and of
    other versions can be shown; no value in it is resolved, imported or run, and no file outside the folder is read.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the configuration of the run in the folder `path`.

        Raises:
            RunFolderError: the folder holds no run.
            ConfigError: its configuration is no YAML dictionary.
        """
        self.path = Path(path).expanduser()
        file = self.file(CONFIG)
        if file is None:
            raise RunFolderError(f"{self.path} is not the folder of a run: it has no {CONFIG}.")
        self.config: dict[str, Any] = OmegaConf.to_container(load_config(file), resolve=False)  # type: ignore[assignment]

    @property
    def options(self) -> dict[str, Any]:
        """The configuration in one level: {"algorithm.seed": 1, ...}."""
        return flatten(self.config)

    @property
    def algorithm(self) -> str:
        """The algorithm's name in configurations."""
        return str(self.config.get("algo") or "unknown algorithm")

    @property
    def environment(self) -> str:
        """The environment's id."""
        return str(self.options.get("gym_env.env_name") or "unknown environment")

    def metrics(self) -> dict[str, list[tuple[int, float]]]:
        """Return everything measured so far, see `read_metrics`; nothing where the run has just begun.

        Raises:
            RunFolderError: `metrics.csv` is damaged.
        """
        file = self.file("metrics.csv")
        return {} if file is None else read_metrics(file)

    def scores(self, which: str, kind: str) -> Evaluation | None:
        """Return a policy's "selection" or "final" evaluation, None if there was none.

        Lengths and seeds are empty where they are not known.

        Raises:
            RunFolderError: `eval.json` is damaged.
        """
        known = self._json(f"{which}/eval.json").get(kind)
        if known is None:
            return None
        lists = [known.get(key, []) for key in ("returns", "lengths", "seeds")] if isinstance(known, dict) else []
        if not lists or not all(isinstance(one, list) and all(map(_is_number, one)) for one in lists) or not lists[0]:
            raise RunFolderError(
                f"{self.path / which}/eval.json is damaged: lists of numbers expected in {kind!r}. "
                f"To score the policy anew, move it away: workspace-rl evaluate {self.path}"
            )
        returns, lengths, seeds = lists
        return Evaluation([float(one) for one in returns], lengths, seeds)

    def policy_step(self, which: str) -> int | None:
        """Return the step at which a policy was saved, None if it is not known."""
        step = self._json(f"{which}/eval.json").get("step")
        return step if isinstance(step, int) and _is_finite(step) else None

    def provenance(self) -> dict[str, Any]:
        """Return what was kept of the run's origin (`workspace_rl.machine.provenance`); older runs have nothing.

        Raises:
            RunFolderError: `provenance.json` is damaged.
        """
        return self._json(PROVENANCE)

    def wall_time(self) -> float | None:
        """Return the seconds that training took, over all its stretches; None for runs that are older than that.

        Raises:
            RunFolderError: `wall_time.json` is damaged.
        """
        seconds = self._json(WALL_TIME).get("seconds")
        return float(seconds) if isinstance(seconds, int | float) and _is_finite(seconds) and seconds >= 0 else None

    def collectors(self) -> list[dict[str, Any]]:
        """Return how collectors did in each stretch of training; nothing for runs that have only the learner's own.

        Raises:
            RunFolderError: `collectors.json` is damaged.
        """
        stretches = self._json(COLLECTORS).get("stretches", [])
        if not isinstance(stretches, list) or not all(isinstance(one, dict) for one in stretches):
            raise RunFolderError(f"{self.path / COLLECTORS} is damaged: a list of dictionaries expected.")
        return stretches

    def video(self) -> Path | None:
        """Return the film of the best policy, or else of the latest, None if there is none."""
        return self.file("best/best_agent.mp4") or self.file("latest/latest_agent.mp4")

    def file(self, name: str) -> Path | None:
        """Return a file of the run, None if it is not there, or a link leads out of the run's folder."""
        path = self.path / name
        return path if is_inside(self.path, path) and path.is_file() else None

    def _json(self, name: str) -> dict[str, Any]:
        file = self.file(name)
        try:
            known = {} if file is None else json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise RunFolderError(f"{self.path / name} is damaged: {error}") from error
        if not isinstance(known, dict):
            raise RunFolderError(f"{self.path / name} is damaged: a dictionary expected.")
        return known


def open_runs(paths: Sequence[str | Path]) -> list[RunRecord]:
    """Return the records of runs, each once.

    Raises:
        ConfigError: there are none.
        RunFolderError: a folder holds no run.
    """
    if not paths:
        raise ConfigError("runs: the folder of at least one run expected, none given.")
    return [RunRecord(path) for path in {Path(one).expanduser().resolve(): one for one in paths}.values()]


def _is_number(value: object) -> bool:
    return _is_finite(value) or (isinstance(value, float) and not math.isfinite(value))


def _is_finite(value: object) -> bool:
    # A whole number of a file may be beyond what a float can hold.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
