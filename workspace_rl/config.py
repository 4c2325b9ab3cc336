"""Configurations: typed, checked in full before anything starts.

A configuration is an OmegaConf dictionary whose schema is a dataclass. The base classes here hold what all algorithms
share; each algorithm's file adds its own parameters.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import inspect
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from workspace_rl.classes import ALIASES, check_arguments, find_class
from workspace_rl.envs.atari import AtariOptions
from workspace_rl.errors import ConfigError, did_you_mean

Config = TypeVar("Config")


def option(default: Any, help: str, **limits: Any) -> Any:
    """Declare a parameter: its default, what it means, and its limits.

    Args:
        default: a value, or a function that makes one.
        help: one line for `describe_schema`.
        **limits: `least`, `most` (inclusive), `above` (exclusive) for numbers; `choices` for strings; `filled` for
            lists that may not be empty.
    """
    metadata = {"help": help, **limits}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def _adam() -> dict[str, Any]:
    return {"classname": "torch.optim.Adam", "lr": 3e-4}


@dataclass
class EnvironmentConfig:
    """The environment."""

    env_name: str = option("", "gymnasium id, e.g. 'Pendulum-v1'; 'your_module:YourEnv-v0' imports your_module first")
    env_args: dict[str, Any] = option(dict, "further arguments of the environment's constructor")
    vectorization: str | None = option(
        None,
        "how environments are stepped together; the fastest way for Atari games, 'sync' for others, unless given",
        choices=("sync", "async", "vector_entry_point"),
    )
    clip_actions: bool = option(False, "clip actions that are out of bounds instead of stopping with an error")
    atari: dict[str, Any] | None = option(
        None, "an Atari game's preprocessing, {} for the standard one (workspace_rl.envs.atari.AtariOptions)"
    )

    def check(self, path: str) -> None:
        """Raise a `ConfigError` if there is no name, or an option of the Atari preprocessing is impossible."""
        if not self.env_name:
            raise ConfigError(f"{path}env_name: an environment's id expected, for instance 'Pendulum-v1'; none found.")
        self.constructor_arguments()

    def constructor_arguments(self, *, scoring: bool = False) -> dict[str, Any]:
        """Return what `make_env` is given besides the name; for `scoring`, without what is for learning only."""
        if self.atari is None:
            return dict(self.env_args)
        options = AtariOptions.of(self.atari)
        if scoring:
            options = dataclasses.replace(options, terminal_on_life_loss=False, reward_clipping=False)
        return {**self.env_args, "atari": options}

    @property
    def stacked(self) -> dict[str, int]:
        """Observations that are stacks of the last pictures, and of how many (see `ReplayBuffer`)."""
        return {} if self.atari is None else {"env/env_obs": AtariOptions.of(self.atari).frame_stack}


@dataclass
class LoggerConfig:
    """Where and how often measurements are written."""

    classname: str = option("workspace_rl.logger.Logger", "the logger's class")
    log_dir: str | None = option(None, "TensorBoard folder; the run's own 'tensorboard' unless given")
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
    max_grad_norm: float | None = option(None, "gradients are clipped to this Euclidean norm", above=0)
    nb_evals: int = option(16, "episodes in one evaluation, each in an environment of its own", least=1)
    eval_interval: int = option(2000, "steps between two evaluations", least=1)
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
        if math.ceil(self.buffer_size / self.n_envs) < self.n_step_return:
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
        "outputs/${gym_env.env_name}/${algo}-S${algorithm.seed}_${current_time:}", "the run's folder, created anew"
    )
    save_best: bool = option(True, "keep the policy with the best evaluation in the run's folder 'best'")
    record_best: bool = option(True, "film the best policy at the end, if the environment can draw itself")
    collect_stats: bool = option(False, "keep the returns of every evaluation's episodes in eval_returns.csv")
    device: str = option("cpu", "where networks and replay buffer live, e.g. 'cuda'")
    torch_threads: int = option(1, "threads of torch; one is fastest for small networks", least=1)


def optimizer_option(help: str) -> Any:
    """Declare an optimiser's section: `classname` and the arguments of that class."""
    return field(default_factory=_adam, metadata={"help": help, "optimizer": True})


# ---- reading ------------------------------------------------------------------------------------------------------


def load_config(source: str | Path) -> DictConfig:
    """Read a YAML file, or a configuration that comes with the library, such as "sac/pendulum".

    Raises:
        ConfigError: there is no such file, or it is not YAML.
    """
    path = Path(source)
    if not path.is_file():
        shipped = importlib.resources.files("workspace_rl.configs") / f"{str(source).removesuffix('.yaml')}.yaml"
        if not shipped.is_file():
            raise ConfigError(
                f"there is no configuration file {str(source)!r}, neither here nor among those that come with the "
                f"library.{did_you_mean(str(source), shipped_configs())} Shipped: {', '.join(shipped_configs())}."
            )
        text = shipped.read_text()
    else:
        text = path.read_text(errors="replace")
    try:
        config = OmegaConf.create(text)
    except Exception as error:  # OmegaConf passes on whatever its YAML parser raises
        raise ConfigError(f"{str(source)!r} cannot be read as YAML: {error}") from error
    if not isinstance(config, DictConfig):
        raise ConfigError(f"{str(source)!r} must hold a dictionary of parameters.")
    return config


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
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or not key:
            raise ConfigError(f"{override!r} is no override; write key=value, for instance algorithm.seed=2.")
    try:
        merged = OmegaConf.merge(config, OmegaConf.from_dotlist(list(overrides)))
    except Exception as error:  # OmegaConf passes on whatever its YAML parser raises
        raise ConfigError(f"{' '.join(overrides)}: {str(error).splitlines()[0]}") from error
    if not isinstance(merged, DictConfig):
        raise ConfigError("a configuration must be a dictionary of parameters.")
    return merged


def resolve_config(schema: type[Config], given: Mapping[str, Any] | DictConfig) -> Config:
    """Check `given` against the dataclass `schema`, fill in defaults, resolve interpolations, and return an instance.

    Whole numbers may be written as floats (`1e6`).

    Raises:
        ConfigError: an unknown key, a wrong type or an impossible value; the message names the key, what was expected
            and the nearest valid key.
    """
    register_resolvers()
    try:
        config = given if isinstance(given, DictConfig) else OmegaConf.create(dict(given))
        plain = OmegaConf.to_container(config, resolve=False)
        _check_keys(schema, plain, "")
        merged = OmegaConf.merge(dataclasses.asdict(typing.cast(Any, schema())), plain)
        values = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", "") or ""
        raise ConfigError(f"{key}: {str(error).splitlines()[0]}") from error
    return typing.cast(Config, _build(schema, values, ""))


def register_resolvers() -> None:
    """Make `${current_time:}` (local time to the second, the same throughout a configuration) known to OmegaConf."""
    if not OmegaConf.has_resolver("current_time"):
        OmegaConf.register_resolver("current_time", lambda: datetime.now().strftime("%Y%m%d-%H%M%S"), use_cache=True)


def to_yaml(config: Any) -> str:
    """Return a configuration as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(dataclasses.asdict(config)))


def describe_schema(schema: type[Any], indent: str = "") -> str:
    """Return a text with every key of a schema, its default and its meaning."""
    lines = []
    hints = typing.get_type_hints(schema)
    for one in dataclasses.fields(schema):
        hint = hints[one.name]
        if dataclasses.is_dataclass(hint):
            doc = (hint.__doc__ or "").strip().splitlines()[0]
            lines += [f"{indent}{one.name}:  # {doc}", describe_schema(typing.cast(type[Any], hint), indent + "  ")]
        else:
            default = "null" if _default(one) is None else _default(one)
            lines.append(f"{indent}{one.name}: {default}  # {one.metadata.get('help', '')}")
    return "\n".join(lines)


def _default(one: dataclasses.Field[Any]) -> Any:
    return one.default_factory() if one.default_factory is not dataclasses.MISSING else one.default


def _check_keys(schema: type[Any], given: Any, path: str) -> None:
    if not isinstance(given, dict):
        raise ConfigError(
            f"{path.rstrip('.') or 'the configuration'}: a dictionary of parameters expected, {given!r} found."
        )
    hints = typing.get_type_hints(schema)
    for key, value in given.items():
        if key not in hints:
            everywhere = _all_keys(schema)
            elsewhere = [full for full in everywhere if full.rpartition(".")[2] == key]
            hint = did_you_mean(str(key), hints)
            if elsewhere and not hint:
                hint = f" It belongs into {path}{elsewhere[0]}."
            raise ConfigError(f"unknown key '{path}{key}'.{hint} Valid here: {', '.join(hints)}.")
        if dataclasses.is_dataclass(hints[key]):
            _check_keys(typing.cast(type[Any], hints[key]), value, f"{path}{key}.")


def _all_keys(schema: type[Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, hint in typing.get_type_hints(schema).items():
        keys.append(prefix + name)
        if dataclasses.is_dataclass(hint):
            keys += _all_keys(typing.cast(type[Any], hint), f"{prefix}{name}.")
    return keys


# ---- building -----------------------------------------------------------------------------------------------------


def _build(schema: type[Any], values: Any, path: str) -> Any:
    hints = typing.get_type_hints(schema)
    built = {}
    for one in dataclasses.fields(schema):
        name, value, hint = f"{path}{one.name}", values[one.name], hints[one.name]
        if dataclasses.is_dataclass(hint):
            built[one.name] = _build(typing.cast(type[Any], hint), value, f"{name}.")
        elif one.metadata.get("optimizer"):
            built[one.name] = _checked_optimizer(value, name)
        else:
            built[one.name] = _converted(value, hint, name)
            _check_limits(built[one.name], one.metadata, name)
    config = schema(**built)
    if hasattr(config, "check"):  # parameters that must fit each other
        config.check(path)
    return config


def _converted(value: Any, hint: Any, name: str) -> Any:
    """Return `value` as the type `hint`, or raise."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in options:
        return None
    wanted = next(one for one in options if one is not type(None))
    origin = typing.get_origin(wanted) or wanted
    if origin is list and isinstance(value, list):
        (item,) = typing.get_args(wanted)
        return [_converted(one, item, f"{name}[{index}]") for index, one in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return value
    if wanted is bool and isinstance(value, bool):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is int and number and float(value).is_integer():
        return int(value)
    if wanted is float and number:
        return float(value)
    if wanted is str and isinstance(value, str):
        return value
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", dict: "a dictionary"}
    expected = "a list" if origin is list else names.get(origin, str(wanted))
    nullable = " or null" if type(None) in options else ""
    raise ConfigError(f"{name}: {expected}{nullable} expected, {value!r} ({type(value).__name__}) found.")


def _check_limits(value: Any, limits: Mapping[str, Any], name: str) -> None:
    if value is None:
        return
    if "choices" in limits and value not in limits["choices"]:
        choices = ", ".join(repr(one) for one in limits["choices"])
        raise ConfigError(
            f"{name}: one of {choices} expected, {value!r} found.{did_you_mean(value, limits['choices'])}"
        )
    if limits.get("filled") and not value:
        raise ConfigError(f"{name}: a list with at least one entry expected, {value!r} found.")
    for one in value if isinstance(value, list) else [value]:
        if "least" in limits and not one >= limits["least"]:
            raise ConfigError(f"{name}: at least {limits['least']} expected, {one} found.")
        if "above" in limits and not one > limits["above"]:
            raise ConfigError(f"{name}: more than {limits['above']} expected, {one} found.")
        if "most" in limits and not one <= limits["most"]:
            raise ConfigError(f"{name}: at most {limits['most']} expected, {one} found.")


def _checked_optimizer(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("classname"), str):
        raise ConfigError(f"{name}: a dictionary with a classname expected, {value!r} found.")
    try:
        found = find_class(value["classname"])
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
    if not issubclass(found, torch.optim.Optimizer):
        raise ConfigError(f"{name}: {value['classname']} is no optimiser of torch.")
    arguments = {key: one for key, one in value.items() if key != "classname"}
    check_arguments(found, arguments, name)
    learning_rate = value.get("lr")
    if learning_rate is not None and not (isinstance(learning_rate, int | float) and learning_rate > 0):
        raise ConfigError(f"{name}.lr: a positive number expected, {learning_rate!r} found.")
    if inspect.signature(found.step).parameters["closure"].default is inspect.Parameter.empty:
        raise ConfigError(
            f"{name}: {value['classname']} evaluates the loss several times a step, which is not supported."
        )
    try:  # it knows best what it takes
        found([torch.nn.Parameter(torch.zeros(1))], **arguments)
    except Exception as error:
        raise ConfigError(f"{name}: {value['classname']} refuses {arguments}: {error}") from error
    return value


def is_logger_alias(classname: str) -> bool:
    """Return whether a configuration's logger class is this library's logger, under its own or BBRL's name."""
    return ALIASES.get(classname, classname) == "workspace_rl.logger.Logger"
