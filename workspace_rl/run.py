"""The folder of a run, and what can be done with one: load its policy, score it, film it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workspace_rl.agent import Agent
from workspace_rl.config import EnvironmentConfig, RunConfig, load_config, resolve_config, to_yaml
from workspace_rl.errors import ConfigError, RenderingError, RunFolderError, did_you_mean
from workspace_rl.evaluation import Evaluation, evaluate
from workspace_rl.files import write_text
from workspace_rl.gym_agent import GymAgent
from workspace_rl.policy import load_policy
from workspace_rl.seeding import FINAL_EPISODES, VIDEO_EPISODES, episode_seeds
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
        self.path = Path(path)
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
        path = Path(config.base_dir)
        try:
            if path.exists() and any(path.iterdir()):
                raise RunFolderError(
                    f"{path} exists already, and nothing in it shall be lost. Choose another base_dir, or move it away."
                )
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if isinstance(error, RunFolderError):
                raise
            raise RunFolderError(
                f"the run's folder {path} cannot be created: {error.strerror}. Choose another base_dir."
            ) from error
        write_text(path / CONFIG, to_yaml(config))
        run = cls.__new__(cls)
        run.path, run.config = path, config
        return run

    @property
    def tensorboard_folder(self) -> Path:
        """Where TensorBoard's events are."""
        return Path(self.config.logger.log_dir) if self.config.logger.log_dir else self.path / "tensorboard"

    def policy(self, which: Which = "best") -> Agent:
        """Return the best or the latest policy of the run.

        Raises:
            PolicyFileError: the run has no such policy, or it is damaged.
        """
        return load_policy(self.path / which)

    def save_scores(self, which: Which, **scores: Any) -> None:
        """Add entries to `eval.json` beside a policy; None removes one."""
        path = self.path / which / "eval.json"
        known = json.loads(path.read_text()) if path.is_file() else {}
        merged = {key: value for key, value in {**known, **scores}.items() if value is not None}
        write_text(path, json.dumps(merged, indent=1) + "\n")

    def evaluate(self, n_episodes: int, which: Which = "best") -> Evaluation:
        """Score a policy of the run on `n_episodes` fresh episodes, on seeds that selected nothing."""
        seed = _seed(self.config)
        seeds = episode_seeds(seed, FINAL_EPISODES, n=n_episodes)
        env_agent = make_env_agent(self.config.gym_env, min(n_episodes, 16), auto_reset=False)
        try:
            return evaluate(env_agent, self.policy(which), seeds)
        finally:
            env_agent.close()

    def record(self, n_episodes: int = 1, which: Which = "best", path: str | Path | None = None) -> Path:
        """Film a policy of the run for `n_episodes` episodes and return the path of the mp4 file.

        Raises:
            RenderingError: the environment cannot draw itself.
        """
        path = self.path / which / f"{which}_agent.mp4" if path is None else Path(path)
        policy = self.policy(which)
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
    env_args = config.constructor_arguments() | ({"render_mode": "rgb_array"} if render else {})
    # One environment is filmed, in this process: vector classes cannot draw.
    vectorization: Any = "sync" if render else config.vectorization
    try:
        return GymAgent(
            config.env_name,
            n_envs,
            auto_reset=auto_reset,
            vectorization=vectorization,
            env_args=env_args,
            clip_actions=config.clip_actions,
            **options,
        )
    except TypeError as error:
        if render:
            raise RenderingError(f"environment {config.env_name!r} cannot draw itself ({error}).") from error
        raise ConfigError(f"gym_env.env_args: environment {config.env_name!r} refuses them: {error}") from error


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
