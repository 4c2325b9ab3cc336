"""The folder of a run, and what can be done with one: load its policy, score it, film it."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workspace_rl.agent import Agent
from workspace_rl.config import EnvironmentConfig, RunConfig, load_config
from workspace_rl.errors import (
    ConfigError,
    EnvironmentFailedError,
    PolicyFileError,
    RenderingError,
    RunFolderError,
    did_you_mean,
)
from workspace_rl.evaluation import Evaluation, evaluate
from workspace_rl.files import write_text
from workspace_rl.gym_agent import GymAgent
from workspace_rl.policy import load_policy
from workspace_rl.schema import resolve_config, to_yaml
from workspace_rl.seeding import FINAL_EPISODES, VIDEO_EPISODES, episode_seeds
from workspace_rl.threads import torch_threads
from workspace_rl.video import record_video

if TYPE_CHECKING:
    from workspace_rl.training import OffPolicyAlgorithm

Which = Literal["best", "latest"]
CONFIG = "config.yaml"


class Run:
    """A run's folder.

    - `config.yaml`: the resolved configuration;
    - `metrics.csv`: everything measured, `step,name,value`; `tensorboard/`: the same as TensorBoard events;
    - `latest/`, `best/`: the two policies (`policy.safetensors`, `policy.yaml`), with `eval.json`, their scores;
    - `best/best_agent.mp4`: a film of the best policy.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the run in the folder `path`.

        Raises:
            RunFolderError: the folder holds no run.
            ConfigError: its configuration is not valid.
        """
        self.path = Path(path).expanduser()
        if not (self.path / CONFIG).is_file():
            raise RunFolderError(f"{self.path} is not the folder of a run: it has no {CONFIG}.")
        config = load_config(self.path / CONFIG)
        self.config: RunConfig = resolve_config(find_algorithm(config.get("algo")).config_class, config)

    @classmethod
    def create(cls, config: RunConfig) -> Run:
        """Create the folder `config.base_dir` of a new run.

        Raises:
            RunFolderError: the folder exists and is not empty, or cannot be written.
        """
        path = Path(config.base_dir).expanduser()
        try:
            if path.exists() and any(path.iterdir()):
                raise RunFolderError(
                    f"{path} exists already, and nothing in it shall be lost. Choose another base_dir, or move it away."
                )
            path.mkdir(parents=True, exist_ok=True)
            if config.logger.log_dir and config.logger.save_tensorboard:
                Path(config.logger.log_dir).expanduser().mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if isinstance(error, RunFolderError):
                raise
            raise RunFolderError(
                f"the run's folder {error.filename} cannot be created: {error.strerror}. "
                "Choose another base_dir (or logger.log_dir)."
            ) from error
        write_text(path / CONFIG, to_yaml(config))
        run = cls.__new__(cls)
        run.path, run.config = path, config
        return run

    @property
    def tensorboard_folder(self) -> Path:
        """Where TensorBoard's events are."""
        return (
            Path(self.config.logger.log_dir).expanduser() if self.config.logger.log_dir else self.path / "tensorboard"
        )

    def policy(self, which: Which = "best", allow: Sequence[str | type] = ()) -> Agent:
        """Return the best or the latest policy of the run; `allow` names classes of your own, as in `load_policy`.

        Raises:
            PolicyFileError: the run has no such policy, or it is damaged.
        """
        folder = self.path / which
        if which == "best" and not folder.is_dir() and (self.path / "latest").is_dir():
            raise PolicyFileError(f"{self.path} has no best policy yet, only a latest one: --policy latest.")
        return load_policy(folder, allow)

    def scores(self, which: Which = "best") -> dict[str, Any]:
        """Return what `eval.json` says of a policy: its `step`, `selection` and `final` score, as far as known."""
        path = self.path / which / "eval.json"
        known: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        return known

    def save_scores(self, which: Which, **scores: Any) -> None:
        """Add entries to `eval.json` beside a policy; None removes one."""
        merged = {key: value for key, value in {**self.scores(which), **scores}.items() if value is not None}
        write_text(self.path / which / "eval.json", json.dumps(merged, indent=1) + "\n")

    def evaluate(self, n_episodes: int, which: Which = "best", allow: Sequence[str | type] = ()) -> Evaluation:
        """Score a policy of the run on `n_episodes` fresh episodes, on seeds that selected nothing.

        Raises:
            PolicyFileError: the run has no such policy, or it is damaged.
        """
        seed = _seed(self.config)
        seeds = episode_seeds(seed, FINAL_EPISODES, n=n_episodes)
        policy = self.policy(which, allow)
        # As few rounds as 16 environments need, and as few environments as that many rounds need.
        n_envs = math.ceil(n_episodes / math.ceil(n_episodes / 16))
        env_agent = make_env_agent(self.config.gym_env, n_envs, auto_reset=False)
        try:
            with torch_threads(self.config.torch_threads):
                return evaluate(env_agent, policy, seeds)
        finally:
            env_agent.close()

    def record(
        self,
        n_episodes: int = 1,
        which: Which = "best",
        path: str | Path | None = None,
        allow: Sequence[str | type] = (),
    ) -> Path:
        """Film a policy of the run for `n_episodes` episodes and return the path of the mp4 file.

        Raises:
            RenderingError: the environment cannot draw itself.
            PolicyFileError: the run has no such policy, or it is damaged.
        """
        path = self.path / which / f"{which}_agent.mp4" if path is None else Path(path)
        policy = self.policy(which, allow)
        env_agent = make_env_agent(self.config.gym_env, 1, auto_reset=False, render=True)
        try:
            return record_video(
                env_agent, policy, path, episode_seeds(_seed(self.config), VIDEO_EPISODES, n=n_episodes)
            )
        finally:
            env_agent.close()


def make_env_agent(
    config: EnvironmentConfig, n_envs: int, *, auto_reset: bool, render: bool = False, **options: Any
) -> GymAgent:
    """Return the environments that a configuration describes, for training or for evaluation.

    Raises:
        RenderingError: `render` is asked of an environment that cannot draw itself.
    """
    env_args = config.constructor_arguments(scoring=not auto_reset) | ({"render_mode": "rgb_array"} if render else {})
    vectorization: Any = config.vectorization
    if render or (vectorization == "vector_entry_point" and config.atari is None and not auto_reset):
        # Other vector classes than that of Atari games cannot draw, and have no seed for each of their copies.
        vectorization = "sync"
    try:
        return GymAgent(
            config.env_name,
            n_envs,
            auto_reset=auto_reset,
            vectorization=vectorization,
            env_args=env_args,
            clip_actions=config.clip_actions,
            timeout=config.timeout,
            allow_nonfinite_observations=config.allow_nonfinite_observations,
            **options,
        )
    except EnvironmentFailedError as error:
        refused = error.__cause__
        if not isinstance(refused, TypeError):
            raise
        if render:
            raise RenderingError(f"environment {config.env_name!r} cannot draw itself ({refused}).") from refused
        raise ConfigError(f"gym_env.env_args: environment {config.env_name!r} refuses them: {refused}") from refused


def find_algorithm(name: object) -> type[OffPolicyAlgorithm[Any]]:
    """Return the algorithm called `name` in configurations ("sac").

    Raises:
        ConfigError: there is no such algorithm.
    """
    # Imported here, since algorithms import the framework.
    known: dict[str, type[OffPolicyAlgorithm[Any]]] = importlib.import_module("workspace_rl.algos").ALGORITHMS
    if not isinstance(name, str) or name not in known:
        hint = did_you_mean(name, known) if isinstance(name, str) else ""
        raise ConfigError(f"algo: one of {', '.join(known)} expected, {name!r} found.{hint}")
    return known[name]


def _seed(config: Any) -> int:
    return int(config.algorithm.seed)
