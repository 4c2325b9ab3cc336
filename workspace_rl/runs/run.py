"""The folder of a run, and what can be done with one: load its policy, score it, film it."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from omegaconf import DictConfig, OmegaConf

from workspace_rl.agent import Agent
from workspace_rl.algorithm.names import Algorithm, check_made_by, find_algorithm, resolve_run_config
from workspace_rl.algorithm.own import vouched_for
from workspace_rl.basics.arguments import checked
from workspace_rl.basics.classes import allowed_list
from workspace_rl.basics.plain_data import whole_number
from workspace_rl.basics.seeding import FINAL_EPISODES, VIDEO_EPISODES, episode_seeds
from workspace_rl.config.make_env_agent import make_env_agent
from workspace_rl.config.run_config import RunConfig
from workspace_rl.config.schema import flatten, to_yaml
from workspace_rl.config.sources import apply_overrides, load_config
from workspace_rl.envs.wrappers import require_trusted
from workspace_rl.errors import ConfigError, PolicyFileError, RunFolderError
from workspace_rl.evaluation.evaluation import Evaluation, evaluate
from workspace_rl.films.video import record_video
from workspace_rl.machine.devices import nearest_device
from workspace_rl.machine.files import (
    FolderLock,
    absolute,
    back_home,
    inside,
    working_directory,
    write_bytes,
    write_text,
)
from workspace_rl.machine.interrupts import StopRequest
from workspace_rl.machine.provenance import provenance
from workspace_rl.machine.threads import torch_threads
from workspace_rl.policies.files import ARCHITECTURE, WEIGHTS
from workspace_rl.policies.loading import load_policy
from workspace_rl.runs.checkpoints import Checkpoints
from workspace_rl.runs.logger import read_metrics
from workspace_rl.runs.other_machines import FREE, OF_THE_MACHINE

Which = Literal["best", "latest"]
CONFIG, PROVENANCE, COMPOSITION, WALL_TIME = "config.yaml", "provenance.json", "composition.svg", "wall_time.json"


class Run:
    """A run's folder.

    - `config.yaml`: the resolved configuration; `provenance.json`: versions of packages, and the commit of the code;
    - `wall_time.json`: how many seconds training took, scoring and filming included;
    - `composition.svg`: which agent reads and writes which variable;
    - `metrics.csv`: everything measured, `step,name,value`; `tensorboard/`: the same as TensorBoard events;
    - `latest/`, `best/`: the two policies (`policy.safetensors`, `policy.yaml`), with `eval.json`, their scores;
    - `best/best_agent.mp4`: a film of the best policy;
    - `checkpoints/`: what a run that was stopped goes on from (see `workspace_rl.runs.checkpoints`).
    """

    #: What the checkpoints keep copies of, since it goes on changing.
    _changing = ("metrics.csv", "eval_returns.csv", *(f"best/{name}" for name in (WEIGHTS, ARCHITECTURE, "eval.json")))
    #: The class that made the run, as far as it was opened rather than created.
    algorithm: Algorithm | None = None
    _lock: FolderLock | None = None

    @checked(error=RunFolderError, unless=("allow",))
    def __init__(self, path: str | Path, allow: Sequence[str | type] = (), *, made_by: Algorithm | None = None) -> None:
        """Open the run in the folder `path`.

        Args:
            path: the folder.
            allow: classes of your own that it was made by, if this program has not defined or imported them: an
                algorithm ("my_module:MyAlgorithm"), and agents that its policies are built from, as in `load_policy`.
                The agents that the algorithm's module knows, environments excepted, are allowed with it.
            made_by: the class that must have made it.

        Raises:
            RunFolderError: the folder holds no run.
            ConfigError: its configuration is not valid, its algorithm is neither the library's nor allowed, or it was
                made by another class.
        """
        allow = allowed_list(allow)
        self.path = absolute(path)
        if not (self.path / CONFIG).is_file():
            raise RunFolderError(f"{self.path} is not the folder of a run: it has no {CONFIG}.")
        config = load_config(inside(self.path, CONFIG))
        written = flatten(OmegaConf.to_container(config, resolve=False))  # type: ignore[arg-type]
        if any(isinstance(value, str) and "${" in value for value in written.values()):
            # A run's own configuration is resolved. Few interpolations may stand for more text than fits into memory.
            raise ConfigError(f"{self.path / CONFIG} holds interpolations (${{...}}); no run has written it.")
        if made_by is not None:
            check_made_by(config.get("algo"), made_by, self.path)
        self.algorithm = made_by or find_algorithm(config.get("algo"), allow)
        self.config: RunConfig = resolve_run_config(self.algorithm, config)
        self._allow = [*allow, *vouched_for(self.algorithm)]

    @classmethod
    def create(cls, config: RunConfig) -> Run:
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
        run.path, run.config, run._lock, run._allow = path, config, lock, []
        run.save_config()
        return run

    def trust(self, classes: Sequence[type]) -> None:
        """Let the run's policies be built from `classes`, too."""
        self._allow += classes

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

    # ---- resuming -------------------------------------------------------------------------------------------------

    @functools.cached_property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints of the run."""
        return Checkpoints(self.path / "checkpoints")

    def resumed_config(self, overrides: Sequence[str] = ()) -> DictConfig:
        """Return the configuration for going on with the run, with `overrides` of what may change.

        Where this machine lacks the device that the run was made on, it goes on with another one.

        Raises:
            ConfigError: an override would change the run's course, or is not valid.
        """
        overrides = [overrides] if isinstance(overrides, str) else overrides
        for override in overrides:
            key = str(override).partition("=")[0]
            if key not in (*FREE, *OF_THE_MACHINE):
                raise ConfigError(
                    f"{key} cannot be changed when a run is resumed, only {', '.join(FREE)}, and what depends on the "
                    f"machine: {', '.join(OF_THE_MACHINE)}. Train anew to change other parameters."
                )
        config = load_config(self.path / CONFIG)
        require_trusted(self.config.gym_env.wrappers, self._allow)
        config.base_dir = str(self.path)
        # The folder may be somebody else's: it does not decide where on this machine files are written.
        OmegaConf.update(config, "logger.log_dir", None)
        config.device = nearest_device(self.config.device)
        return apply_overrides(config, overrides)

    def check_same_course(self, config: Mapping[str, Any]) -> None:
        """Compare the configuration with that of a checkpoint.

        Raises:
            ConfigError: they differ; the message names each parameter with both values.
        """
        ours, theirs = flatten(dataclasses.asdict(self.config)), flatten(config)
        differing = [
            f"{key}: {theirs[key]!r} in the checkpoint, {ours[key]!r} now"
            for key in sorted(ours.keys() & theirs.keys())  # a newer version may have more
            if key not in (*FREE, *OF_THE_MACHINE, "base_dir") and ours[key] != theirs[key]
        ]
        if differing:
            raise ConfigError(
                f"{self.path / CONFIG} is not the configuration that the run was started with. {'; '.join(differing)}. "
                "Put it back to resume, or train anew into another base_dir."
            )

    def files_to_copy(self) -> dict[str, Path]:
        """Return the files that a checkpoint keeps copies of, by their path within the run."""
        return {name: self.path / name for name in self._changing if (self.path / name).is_file()}

    def put_back(self, copies: Mapping[str, bytes]) -> None:
        """Write the files that a checkpoint kept copies of as they were then."""
        for name in self._changing:
            if name in copies:
                write_bytes(inside(self.path, name), copies[name])
        if "eval_returns.csv" not in copies:
            (self.path / "eval_returns.csv").unlink(missing_ok=True)

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
        self.save_config()

    # ---- policies -------------------------------------------------------------------------------------------------

    @property
    def tensorboard_folder(self) -> Path:
        """Where TensorBoard's events are."""
        return absolute(self.config.logger.log_dir) if self.config.logger.log_dir else self.path / "tensorboard"

    def policy(self, which: Which = "best", allow: Sequence[str | type] = ()) -> Agent:
        """Return the best or the latest policy of the run; `allow` names classes of your own, as in `load_policy`.

        Raises:
            ConfigError: `which` is neither "best" nor "latest".
            PolicyFileError: the run has no such policy, or it is damaged.
        """
        if which not in get_args(Which):
            raise ConfigError(f"which: 'best' or 'latest' expected, {which!r} found.")
        folder = inside(self.path, which)
        if which == "best" and not folder.is_dir() and (self.path / "latest").is_dir():
            raise PolicyFileError(f"{self.path} has no best policy yet, only a latest one: --policy latest.")
        return load_policy(folder, [*self._allow, *allowed_list(allow)])

    def scores(self, which: Which = "best") -> dict[str, Any]:
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

    def save_scores(self, which: Which, **scores: Any) -> None:
        """Add entries to `eval.json` beside a policy; None removes one."""
        merged = {key: value for key, value in {**self.scores(which), **scores}.items() if value is not None}
        write_text(self.path / which / "eval.json", json.dumps(merged, indent=1) + "\n")

    def evaluate(self, n_episodes: int, which: Which = "best", allow: Sequence[str | type] = ()) -> Evaluation:
        """Score a policy of the run on `n_episodes` fresh episodes, on seeds that selected nothing.

        Raises:
            ConfigError: `n_episodes` is not positive.
            PolicyFileError: the run has no such policy, or it is damaged.
        """
        n_episodes = whole_number(n_episodes, "n_episodes", least=1)
        seed = _seed(self.config)
        seeds = episode_seeds(seed, FINAL_EPISODES, n=n_episodes)
        policy = self.policy(which, allow)
        require_trusted(self.config.gym_env.wrappers, [*self._allow, *allowed_list(allow)])
        # As few rounds as 16 environments need, and as few environments as that many rounds need.
        n_envs = math.ceil(n_episodes / math.ceil(n_episodes / 16))
        if self.config.gym_env.single_instance:
            n_envs = 1
        home = working_directory()
        env_agent = make_env_agent(self.config.gym_env, n_envs, auto_reset=False)
        try:
            with back_home(home), StopRequest(), torch_threads(self.config.torch_threads):
                return evaluate(env_agent, policy, seeds)
        finally:
            env_agent.close()

    def film(self, which: Which = "best") -> Path:
        """Return where the film of a policy is, if there is one."""
        return self.path / which / f"{which}_agent.mp4"

    def record(
        self,
        n_episodes: int = 1,
        which: Which = "best",
        path: str | Path | None = None,
        allow: Sequence[str | type] = (),
    ) -> Path:
        """Film a policy of the run for `n_episodes` episodes and return the path of the mp4 file.

        Raises:
            ConfigError: `n_episodes` is not positive.
            RenderingError: the environment cannot draw itself.
            PolicyFileError: the run has no such policy, or it is damaged.
        """
        n_episodes = whole_number(n_episodes, "n_episodes", least=1)
        path = self.film(which) if path is None else absolute(path)
        policy = self.policy(which, allow)
        require_trusted(self.config.gym_env.wrappers, [*self._allow, *allowed_list(allow)])
        home = working_directory()
        env_agent = make_env_agent(self.config.gym_env, 1, auto_reset=False, render=True)
        try:
            with back_home(home), StopRequest():
                return record_video(
                    env_agent, policy, path, episode_seeds(_seed(self.config), VIDEO_EPISODES, n=n_episodes)
                )
        finally:
            env_agent.close()


def _seed(config: Any) -> int:
    return int(config.algorithm.seed)
