"""Configurations: what all runs share, and where configurations come from.

A configuration is an OmegaConf dictionary whose schema is a dataclass (see `config.schema`). The classes here
hold what all algorithms share; each algorithm's file adds its own parameters.
"""

from __future__ import annotations

import codecs
import dataclasses
import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from workspace_rl.basics.plain_data import plain, told
from workspace_rl.config.plain_yaml import MAX_CHARACTERS, read_yaml
from workspace_rl.config.schema import first_line, option, register_resolvers, require_given
from workspace_rl.envs.simulators.atari import AtariOptions
from workspace_rl.envs.wrappers import normalised
from workspace_rl.errors import ConfigError, did_you_mean


@dataclass
class EnvironmentConfig:
    """The environment."""

    env_name: str = option("", "gymnasium id, e.g. 'Pendulum-v1'; 'your_module:YourEnv-v0' imports your_module first")
    env_args: dict[str, Any] = option(dict, "further arguments of the environment's constructor")
    wrappers: list[Any] = option(
        list,
        "put around each environment in this order: names of gymnasium's wrappers, such as FlattenObservation, or of "
        "classes in modules of yours, or {classname: ..., argument: value}",
    )
    max_episode_steps: int | None = option(
        None, "steps after which an episode is cut (truncated), instead of the environment's own limit", least=1
    )
    vectorization: str | None = option(
        None,
        "how environments are stepped together; the fastest way for Atari games, 'sync' for others, unless given",
        choices=("sync", "async", "vector_entry_point"),
    )
    single_instance: bool = option(
        False, "the simulator can be open only once: that of training is closed while a policy is scored"
    )
    clip_actions: bool = option(False, "clip actions that are out of bounds instead of stopping with an error")
    timeout: float | None = option(
        300.0,
        "seconds that an 'async' environment may take for a step or a reset; null for no limit",
        above=0,
        instead=" null means no limit.",
    )
    allow_nonfinite_observations: bool = option(
        False, "let NaN and infinity pass in observations instead of stopping; for agents that handle them"
    )
    atari: dict[str, Any] | None = option(
        None, "an Atari game's preprocessing, {} for the standard one (workspace_rl.envs.simulators.atari.AtariOptions)"
    )

    def check(self, path: str) -> None:
        """Raise a `ConfigError` if there is no name, or an option of the Atari preprocessing is impossible."""
        if not self.env_name:
            raise ConfigError(f"{path}env_name: an environment's id expected, for instance 'Pendulum-v1'; none found.")
        self.wrappers = normalised(self.wrappers, path)
        if self.max_episode_steps is not None and "max_episode_steps" in self.env_args:
            raise ConfigError(
                f"{path}max_episode_steps and {path}env_args.max_episode_steps: one limit expected, two found. "
                "Remove the latter."
            )
        if self.wrappers and self.vectorization == "vector_entry_point":
            raise ConfigError(
                f"{path}wrappers: the environments of vectorization 'vector_entry_point' are stepped all at once and "
                "cannot be wrapped one by one. Use vectorization sync or async, or null."
            )
        self.constructor_arguments()

    def constructor_arguments(self, *, scoring: bool = False) -> dict[str, Any]:
        """Return what `make_env` is given besides the name; for `scoring`, without what is for learning only."""
        limit = {} if self.max_episode_steps is None else {"max_episode_steps": self.max_episode_steps}
        if self.atari is None:
            return {**self.env_args, **limit}
        options = AtariOptions.of(self.atari)
        if self.max_episode_steps is not None:
            frames = self.max_episode_steps * options.frame_skip
            options = dataclasses.replace(options, max_frames_per_episode=frames)
        if scoring:
            options = dataclasses.replace(options, terminal_on_life_loss=False, reward_clipping=False)
        return {**self.env_args, "atari": options}

    @property
    def stacked(self) -> dict[str, int]:
        """Observations that are stacks of the last pictures, and of how many (see `ReplayBuffer`)."""
        # What wrappers make of a stack need not be one any more.
        plain = self.atari is not None and not self.wrappers
        return {"env/env_obs": AtariOptions.of(self.atari or {}).frame_stack} if plain else {}


@dataclass
class LoggerConfig:
    """Where and how often measurements are written."""

    classname: str = option(
        "workspace_rl.Logger",
        "the logger's class, or BBRL's name for it",
        choices=("workspace_rl.Logger", "workspace_rl.logger.Logger", "bbrl.utils.logger.TFLogger"),
    )
    log_dir: str | None = option(None, "TensorBoard folder; the run's own 'tensorboard' unless given", path=True)
    log_interval: int = option(1000, "environment steps between two rows of a training metric, which average", least=1)
    save_tensorboard: bool = option(True, "also write TensorBoard events (metrics.csv is always written)")
    verbose: bool = option(False, "also print what is logged")
    cache_size: int = option(10000, "accepted from BBRL's configurations, without effect")
    every_n_seconds: float | None = option(None, "accepted from BBRL's configurations, without effect")
    modulo: int = option(1, "accepted from BBRL's configurations, without effect")
    use_zip: bool = option(True, "accepted from BBRL's configurations, without effect")


@dataclass
class OffPolicyConfig:
    """What the loop of all off-policy algorithms needs. A step is one transition of one environment."""

    seed: int = option(1, "of weights, exploration, sampling and episodes", least=0)
    n_envs: int = option(8, "environments stepped together", least=1)
    n_steps: int = option(32, "steps of each environment in one collection", least=1)
    total_steps: int | None = option(None, "length of the run in steps, summed over environments", least=1)
    max_epochs: int | None = option(None, "length of the run in collections, if total_steps is not given", least=1)
    buffer_size: int = option(1_000_000, "transitions the replay buffer holds", least=1)
    batch_size: int = option(256, "transitions in one update", least=1)
    n_step_return: int = option(1, "rewards summed before a target bootstraps", least=1)
    learning_starts: int = option(10_000, "steps before the first update", least=0)
    random_steps: int = option(0, "steps with uniformly random actions at the beginning", least=0)
    updates_per_collect: float = option(1, "updates after each collection (0.5: one after every other)", above=0)
    discount_factor: float = option(0.99, "gamma", least=0, most=1)
    max_grad_norm: float | None = option(
        None, "gradients are clipped to this Euclidean norm", above=0, instead=" null means no limit."
    )
    nb_evals: int = option(
        16,
        "episodes in one evaluation, each in an environment of its own; 0: none, the last policy is the best",
        least=0,
    )
    eval_interval: int = option(2000, "steps between two evaluations", least=1)
    checkpoint_interval: int | None = option(
        50_000, "steps between two checkpoints, from which a stopped run goes on; null: none are written", least=1
    )
    final_episodes: int = option(100, "fresh episodes that the best policy is scored on at the end", least=0)

    @property
    def run_length(self) -> int:
        """The length of the run in steps."""
        return self.total_steps or (self.max_epochs or 0) * self.n_envs * self.n_steps

    def check(self, path: str) -> None:
        """Raise a `ConfigError` if parameters contradict each other; `path` is put before their names."""
        if (self.total_steps is None) == (self.max_epochs is None):
            raise ConfigError(
                f"{path}total_steps, {path}max_epochs: exactly one of total_steps (steps summed over environments) and "
                "max_epochs (collections of n_envs x n_steps steps) says how long the run is; set the other to null."
            )
        if -(-self.buffer_size // self.n_envs) < self.n_step_return:
            raise ConfigError(
                f"{path}buffer_size: {self.buffer_size} transitions of {self.n_envs} environments are too few for "
                f"{path}n_step_return = {self.n_step_return}; at least {self.n_envs * self.n_step_return} expected."
            )
        if self.learning_starts >= self.run_length:
            raise ConfigError(
                f"{path}learning_starts: less than the run's {self.run_length} steps expected, {self.learning_starts} "
                "found; nothing would be learned."
            )


@dataclass
class ActorCriticArchitecture:
    """The networks' hidden layers."""

    actor_hidden_size: list[int] = option(lambda: [256, 256], "units of the actor's hidden layers", least=1)
    critic_hidden_size: list[int] = option(
        lambda: [256, 256], "units of each critic's hidden layers", least=1, filled=True
    )


@dataclass
class RunConfig:
    """What every run has, whatever its algorithm."""

    algo: str = option("", "the algorithm's name")
    gym_env: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    base_dir: str = option(
        "outputs/${gym_env.env_name}/${algo}-S${algorithm.seed}_${current_time:}",
        "the run's folder, created anew",
        path=True,
    )
    save_best: bool = option(True, "keep the policy with the best evaluation in the run's folder 'best'")
    record_best: bool = option(True, "film the best policy at the end, if the environment can draw itself")
    collect_stats: bool = option(False, "keep the returns of every evaluation's episodes in eval_returns.csv")
    device: str = option("cpu", "where networks and replay buffer live, e.g. 'cuda'")
    compile: bool | str = option(
        "auto",
        "compile each update into one graph; 'auto' does from 20,000 planned updates on",
        choices=(True, False, "auto"),
    )
    matmul_precision: str = option(
        "auto",
        "of float32 products; 'auto' takes a faster one where it is as accurate, and keeps its choice in the run",
        choices=("auto", "highest", "high", "medium"),
    )
    precision: str = option(
        "float32",
        "of the products in updates; losses, log-probabilities, targets and optimisers stay float32 with 'bf16', too",
        choices=("float32", "bf16"),
    )
    torch_threads: int = option(1, "threads of torch; one is fastest for small networks", least=1)


# ---- files --------------------------------------------------------------------------------------------------------


def load_config(source: str | Path) -> DictConfig:
    """Read a YAML file, or a configuration that comes with the library, such as "sac/pendulum".

    Raises:
        ConfigError: there is no such file, or it is not YAML.
    """
    text = config_text(source)
    try:
        config = OmegaConf.create(plain(read_yaml(text)))
    except Exception as error:  # OmegaConf passes on whatever its YAML parser raises
        raise ConfigError(f"{str(source)!r} cannot be read as YAML: {error}") from error
    if not isinstance(config, DictConfig):
        raise ConfigError(f"{str(source)!r} must hold a dictionary of parameters.")
    return _with_plain_algo(config)


def config_text(source: str | Path) -> str:
    """Return the text of a file, or of a configuration that comes with the library.

    Raises:
        ConfigError: there is no such file, or it is no Unicode text.
    """
    if not isinstance(source, str | Path):
        raise ConfigError(
            f"a YAML file, or the name of a configuration that comes with the library, expected, {told(source)} found."
        )
    path = Path(source)
    if not _is_file(path):
        shipped, name = shipped_configs(), path.as_posix().removesuffix(".yaml")
        if name not in shipped:
            raise ConfigError(
                f"there is no configuration file {str(source)[:200]!r}, neither here nor among those that come with "
                f"the library.{did_you_mean(name[:200], shipped)} Shipped: {', '.join(shipped)}."
            )
        content = (importlib.resources.files("workspace_rl.configs") / f"{name}.yaml").read_bytes()
    else:
        try:
            with path.open("rb") as file:
                content = file.read(4 * MAX_CHARACTERS + 4)  # bytes of one character, and a mark of the order of bytes
        except OSError as error:
            raise ConfigError(f"{str(source)!r} cannot be read: {error.strerror}.") from error
    try:
        return _decoded(content)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{str(source)!r} cannot be read as YAML: {error}. Save it as UTF-8.") from error


def read_config(source: str | Path | Mapping[str, Any] | DictConfig, overrides: Sequence[str] = ()) -> DictConfig:
    """Return a configuration with overrides put in: what algorithms and the command line are given.

    Args:
        source: a dictionary, a YAML file, or the name of a configuration that comes with the library ("sac/pendulum").
        overrides: `["algorithm.seed=2", ...]`.

    Raises:
        ConfigError: there is no such file, it is not YAML, or an override is not of the form key=value.
    """
    if isinstance(source, DictConfig) and source._get_parent() is not None:
        # A part of a larger configuration, whose interpolations mean what stands there.
        register_resolvers()
        try:
            source = OmegaConf.to_container(source, resolve=True)  # type: ignore[assignment]
        except Exception as error:  # besides its own errors, OmegaConf passes on those of what interpolations call
            raise ConfigError(f"the configuration: {first_line(error)}") from error
    if isinstance(source, Mapping | DictConfig):  # made anew: the user's own may be read-only, or closed to new keys
        return apply_overrides(OmegaConf.create(plain(source)), overrides)
    if isinstance(source, str | Path):
        return apply_overrides(load_config(source), overrides)
    raise ConfigError(
        "the configuration: a dictionary of parameters, a YAML file or a name such as 'sac/pendulum' expected, "
        f"{told(source)} found."
    )


def _decoded(content: bytes) -> str:
    """Return a file's text: UTF-8, or UTF-16 where it says so by its first bytes."""
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if utf_16 else "utf-8-sig")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # what can be no path
        return False


def shipped_configs() -> list[str]:
    """Return the names of the configurations that come with the library."""
    root = importlib.resources.files("workspace_rl.configs")
    return sorted(
        f"{folder.name}/{file.name.removesuffix('.yaml')}"
        for folder in root.iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    )


def apply_overrides(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Return `config` with `["algorithm.seed=2", ...]` put in; values are read as YAML.

    Raises:
        ConfigError: an override is not of the form key=value.
    """
    if (
        isinstance(overrides, str)
        or not isinstance(overrides, Sequence)
        or not all(isinstance(one, str) for one in overrides)
    ):
        raise ConfigError(f"overrides: a list of texts such as 'algorithm.seed=2' expected, {told(overrides)} found.")
    if not overrides:
        return _with_plain_algo(config)
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or not key:
            raise ConfigError(f"{override!r} is no override; write key=value, for instance algorithm.seed=2.")
    try:
        changes = OmegaConf.create({})
        for override in overrides:
            key, _, value = override.partition("=")
            OmegaConf.update(changes, key, plain(read_yaml(value), key), force_add=True)
        require_given(OmegaConf.to_container(changes))
        merged = OmegaConf.merge(config, changes)
    except ConfigError:
        raise
    except Exception as error:  # OmegaConf passes on whatever its YAML parser raises
        raise ConfigError(f"{' '.join(overrides)[:200]}: {first_line(error)}") from error
    if not isinstance(merged, DictConfig):
        raise ConfigError("a configuration must be a dictionary of parameters.")
    return _with_plain_algo(merged)


def _with_plain_algo(config: DictConfig) -> DictConfig:
    """Return the configuration if the algorithm, which decides on its schema, can be read before it is resolved."""
    if OmegaConf.is_interpolation(config, "algo"):
        raise ConfigError("algo: the name of an algorithm expected, an interpolation found.")
    return config
