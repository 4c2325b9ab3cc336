"""Where configurations come from: dictionaries, YAML files, ones that come with the library; and overrides."""

from __future__ import annotations

import codecs
import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from workspace_rl.basics.plain_data import plain, told
from workspace_rl.config.plain_yaml import MAX_CHARACTERS, read_yaml
from workspace_rl.config.schema import first_line, register_resolvers, require_given
from workspace_rl.errors import ConfigError, did_you_mean


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
