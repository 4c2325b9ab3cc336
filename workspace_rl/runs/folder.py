"""The folder of a run: which files stand in it, and how they are written and read."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from workspace_rl.config.run_config import RunConfig
from workspace_rl.config.schema import to_yaml
from workspace_rl.errors import RunFolderError
from workspace_rl.machine.files import FolderLock, absolute, inside, write_bytes, write_text
from workspace_rl.machine.provenance import provenance
from workspace_rl.policies.files import ARCHITECTURE, WEIGHTS
from workspace_rl.runs.checkpoints import Checkpoints
from workspace_rl.runs.metrics_file import read_metrics

#: Where policies are kept that training has gone on from.
POLICIES = "policies"
CONFIG, PROVENANCE, COMPOSITION, WALL_TIME = "config.yaml", "provenance.json", "composition.svg", "wall_time.json"
COLLECTORS = "collectors.json"


class RunFolder:
    """What stands in a run's folder.

    - `config.yaml`: the resolved configuration; `provenance.json`: versions of packages, and the commit of the code;
    - `wall_time.json`: how many seconds training took, scoring and filming included;
    - `collectors.json`: how collectors did, those of a section `collectors`, one stretch after the other;
    - `composition.svg`: which agent reads and writes which variable, and with many collectors who sends what to whom;
    - `metrics.csv`: everything measured, `step,name,value`; `tensorboard/`: the same as TensorBoard events;
    - `latest/`, `best/`: the two policies (`policy.safetensors`, `policy.yaml`), with `eval.json`, their scores;
    - `policies/<step>/`: the same of policies on the way, with `algorithm.save_policy_every`;
    - `best/best_agent.mp4`: a film of the best policy;
    - `checkpoints/`: what a run that was stopped goes on from (see `workspace_rl.runs.checkpoints`).
    """

    path: Path
    config: RunConfig
    #: What the checkpoints keep copies of, since it goes on changing.
    _changing = ("metrics.csv", "eval_returns.csv", *(f"best/{name}" for name in (WEIGHTS, ARCHITECTURE, "eval.json")))
    _lock: FolderLock | None = None

    @classmethod
    def create(cls, config: RunConfig) -> Self:
        """Create the folder `config.base_dir` of a new run.

        Raises:
            RunFolderError: the folder exists and is not empty, or cannot be written.
        """
        path = absolute(config.base_dir)
        try:
            if path.exists() and any(path.iterdir()):
                raise RunFolderError(
                    f"{path} exists already, and nothing in it shall be lost. Choose another base_dir, or move it away."
                )
            path.mkdir(parents=True, exist_ok=True)
            if config.logger.log_dir and config.logger.save_tensorboard:
                absolute(config.logger.log_dir).mkdir(parents=True, exist_ok=True)
            lock = FolderLock(path)
        except OSError as error:
            if isinstance(error, RunFolderError):
                raise
            raise RunFolderError(
                f"the run's folder {error.filename} cannot be created: {error.strerror}. "
                "Choose another base_dir (or logger.log_dir)."
            ) from error
        write_text(path / PROVENANCE, json.dumps(provenance(), indent=1) + "\n")
        run = cls.__new__(cls)
        run.path, run.config, run._lock = path, config, lock
        run.save_config()
        return run

    def save_config(self) -> None:
        """Write `config.yaml`."""
        write_text(self.path / CONFIG, to_yaml(self.config))

    def add_wall_time(self, seconds: float) -> None:
        """Add to the seconds that training has taken so far, in a file of its own: equal runs share the others."""
        path = self.path / WALL_TIME
        try:
            before = float(json.loads(path.read_text(encoding="utf-8"))["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            before = 0.0
        write_text(path, json.dumps({"seconds": round(before + seconds, 1)}) + "\n")

    def add_collectors(self, figures: Mapping[str, Any]) -> None:
        """Add how collectors did, plain data, to what they did before the run was stopped and resumed."""
        path = self.path / COLLECTORS
        try:
            stretches = list(json.loads(path.read_text(encoding="utf-8"))["stretches"])
        except (OSError, ValueError, KeyError, TypeError):
            stretches = []
        write_text(path, json.dumps({"stretches": [*stretches, dict(figures)]}, indent=1) + "\n")

    def lock(self) -> None:
        """Keep other processes from training in the folder, until `unlock` or the end of this process.

        Raises:
            RunFolderError: somebody is training in it.
        """
        self._lock = FolderLock(self.path)

    def unlock(self) -> None:
        """Let others train in the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def kept_batch(self, update: int) -> Path:
        """Return where the batch of an update that went wrong is kept."""
        return self.path / f"bad_update_{update}.safetensors"

    @property
    def tensorboard_folder(self) -> Path:
        """Where TensorBoard's events are."""
        return absolute(self.config.logger.log_dir) if self.config.logger.log_dir else self.path / "tensorboard"

    def film(self, which: str = "best") -> Path:
        """Return where the film of a policy is, if there is one."""
        return self.path / which / f"{Path(which).name}_agent.mp4"

    def policies(self) -> list[str]:
        """Return which policies there are: "best", "latest", and such as "policies/50000", by their steps."""
        steps = sorted(int(one.name) for one in self._kept())
        names = ["best", "latest", *map(kept_at, steps)]
        return [one for one in names if (self.path / one / ARCHITECTURE).is_file()]

    def _kept(self) -> list[Path]:
        folder = self.path / POLICIES
        return [one for one in folder.iterdir() if one.name.isdecimal()] if folder.is_dir() else []

    def scores(self, which: str = "best") -> dict[str, Any]:
        """Return what `eval.json` says of a policy: its `step`, `selection` and `final` score, as far as known.

        Raises:
            RunFolderError: the file is damaged.
        """
        path = inside(self.path, f"{which}/eval.json")
        try:
            known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            if not isinstance(known, dict):
                raise ValueError(f"a dictionary expected, {type(known).__name__} found")
        except (OSError, ValueError, RecursionError) as error:
            raise RunFolderError(
                f"{path} cannot be read: {error}. Evaluate the policy anew, without that file."
            ) from error
        return known

    def save_scores(self, which: str, **scores: Any) -> None:
        """Add entries to `eval.json` beside a policy; None removes one."""
        merged = {key: value for key, value in {**self.scores(which), **scores}.items() if value is not None}
        write_text(self.path / which / "eval.json", json.dumps(merged, indent=1) + "\n")

    # ---- going on with the run ------------------------------------------------------------------------------------

    @functools.cached_property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints of the run."""
        return self.checkpoints_of(0)

    def checkpoints_of(self, rank: int) -> Checkpoints:
        """Return the checkpoints of one of those that learn together: beside its own, the first one's has the run's."""
        folder = self.path / "checkpoints"
        return Checkpoints(folder / f"rank{rank}" if rank else folder)

    def files_to_copy(self) -> dict[str, Path]:
        """Return the files that a checkpoint keeps copies of, by their path within the run."""
        return {name: self.path / name for name in self._changing if (self.path / name).is_file()}

    def put_back(self, copies: Mapping[str, bytes], step: int) -> None:
        """Write the files that a checkpoint kept copies of as they were then, and forget policies of later steps."""
        for name in self._changing:
            if name in copies:
                write_bytes(inside(self.path, name), copies[name])
        if "eval_returns.csv" not in copies:
            (self.path / "eval_returns.csv").unlink(missing_ok=True)
        self._forget_policies(after=step)

    def measured_until(self) -> int:
        """Return the last step of which something was measured."""
        path = self.path / "metrics.csv"
        return (
            max((step for rows in read_metrics(path).values() for step, _ in rows), default=0) if path.is_file() else 0
        )

    def start_again(self) -> None:
        """Forget what was measured; the policies are replaced as the run goes on."""
        for name in ("metrics.csv", "eval_returns.csv"):
            (self.path / name).unlink(missing_ok=True)
        self._forget_policies(after=-1)
        self.save_config()

    def _forget_policies(self, after: int) -> None:
        for one in self._kept():
            if int(one.name) > after:
                shutil.rmtree(one)


def kept_at(step: int) -> str:
    """Return what the policy is called that was kept at a step: its folder within the run's."""
    return f"{POLICIES}/{step}"
