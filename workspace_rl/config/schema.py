"""Dataclasses as schemas of configurations: every key known, every value of its type and within its limits."""

from __future__ import annotations

import dataclasses
import inspect
import math
import secrets
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any, TypeVar

import torch
from omegaconf import DictConfig, OmegaConf

from workspace_rl.basics.classes import check_arguments, class_path, find_class
from workspace_rl.basics.plain_data import plain, told
from workspace_rl.config.plain_yaml import write_yaml
from workspace_rl.config.unknown_keys import argument_hint, check_keys, sections_of
from workspace_rl.errors import ConfigError, did_you_mean
from workspace_rl.machine.files import absolute

Config = TypeVar("Config")

_WORDS_OF_YAML_1_1 = {"on": "true", "yes": "true", "y": "true", "off": "false", "no": "false", "n": "false"}


def option(default: Any, help: str, **limits: Any) -> Any:
    """Declare a parameter: its default, what it means, and its limits.

    Args:
        default: a value, or a function that makes one.
        help: one line for `describe_schema`.
        **limits: `least`, `most` (inclusive), `above` (exclusive) for numbers; `choices` for strings; `filled` for
            lists that may not be empty; `infinite` for numbers that need not be finite, `instead` for what to write
            instead of an infinite one; `path` for texts that name files, which become absolute.
    """
    metadata = {"help": help, **limits}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def _adam() -> dict[str, Any]:
    return {"classname": "torch.optim.Adam", "lr": 3e-4}


def optimizer_option(help: str) -> Any:
    """Declare an optimiser's section: `classname` and the arguments of that class."""
    return field(default_factory=_adam, metadata={"help": help, "optimizer": True})


def resolve_config(
    schema: type[Config], given: Mapping[str, Any] | DictConfig, fixed: Mapping[str, Any] | None = None
) -> Config:
    """Check `given` against the dataclass `schema`, fill in defaults, resolve interpolations, and return an instance.

    Whole numbers may be written as floats (`1e6`). Numbers of NumPy and torch are numbers, and paths are texts (see
    `workspace_rl.basics.plain_data.plain`). What is `fixed` takes the place of what is given.

    Raises:
        ConfigError: an unknown key, a wrong type or an impossible value; the message names the key, what was expected
            and the nearest valid key.
    """
    register_resolvers()
    if not isinstance(given, Mapping | DictConfig):
        raise ConfigError(f"the configuration: a dictionary of parameters expected, {given!r} found.")
    try:
        unresolved = plain(given)
        check_keys(schema, unresolved)
        require_given(unresolved)
        merged = OmegaConf.merge(defaults(schema, unresolved), unresolved, dict(fixed or {}))
        values = plain(OmegaConf.to_container(merged, resolve=True))
        _check_resolved(values)
    except ConfigError:
        raise
    except Exception as error:  # besides its own errors, OmegaConf passes on those of what interpolations call
        key = getattr(error, "full_key", "") or "the configuration"
        raise ConfigError(f"{key}: {first_line(error)}") from error
    config = _build(schema, values, "")
    try:
        to_yaml(config)
    except Exception as error:  # for instance of a text that is no Unicode
        raise ConfigError(f"the configuration cannot be written down: {first_line(error)}") from error
    return typing.cast(Config, config)


def defaults(schema: type[Any], given: Mapping[Any, Any] | None = None) -> dict[str, Any]:
    """Return what stands for what is not `given`: of a section that may be absent, where something of it is given."""
    return _defaults(dataclasses.asdict(schema()), schema, given or {})


def _defaults(values: dict[str, Any], schema: type[Any], given: Mapping[Any, Any]) -> dict[str, Any]:
    for name, section in sections_of(schema).items():
        if isinstance(given.get(name), Mapping):
            inner = dataclasses.asdict(section()) if values[name] is None else values[name]
            values[name] = _defaults(inner, section, given[name])
    return values


def require_given(values: Any) -> None:
    """Raise a `ConfigError` if a value is OmegaConf's mark of one that must be given, for which a default would do."""
    for name, value in flatten(values).items():
        if any(isinstance(one, str) and one == "???" for one in _leaves(value)):
            raise ConfigError(
                f"{name}: a value expected, '???' found, which stands for one that must be given. Give it."
            )


def _check_resolved(values: Any) -> None:
    """Raise if a text would be an interpolation, where the configuration is read again."""
    for name, value in flatten(values).items():
        if any(isinstance(one, str) and "${" in one for one in _leaves(value)):
            raise ConfigError(f"{name}: {told(value)} found; the characters ${{ can only begin an interpolation.")


def first_line(error: Exception) -> str:
    """Return the first line of what an error of another library says, the error's name if it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def register_resolvers() -> None:
    """Make `${current_time:}` known to OmegaConf.

    It is the local time to the second and a random number, so that jobs of the same second have names of their own;
    the same throughout a configuration.
    """
    if not OmegaConf.has_resolver("current_time"):
        OmegaConf.register_resolver("current_time", _time_of_its_own, use_cache=True)


def _time_of_its_own() -> str:
    return f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def to_yaml(config: Any) -> str:
    """Return a configuration as YAML."""
    return write_yaml(dataclasses.asdict(config))


def flatten(nested: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries in one level, their keys joined by dots; an empty one stays as it is."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return flat


def describe_schema(schema: type[Any], indent: str = "") -> str:
    """Return a text with every key of a schema, its default and its meaning."""
    lines = []
    sections = sections_of(schema)
    for one in dataclasses.fields(schema):
        if one.name in sections:
            section = sections[one.name]
            doc = (section.__doc__ or "").strip().partition("\n")[0]
            written = doc and not doc.startswith(f"{section.__name__}(")  # by the author, not by `dataclass`
            text = str(one.metadata.get("help") or (doc if written else ""))
            lines += [f"{indent}{one.name}:{f'  # {text}' if text else ''}", describe_schema(section, indent + "  ")]
        else:
            default = _default(one)
            choices = ", ".join(map(_shown, one.metadata.get("choices", ())))
            text = f"{one.metadata.get('help', '')}{f'; one of {choices}' if choices else ''}"
            lines.append(f"{indent}{one.name}: {_shown(default)}  # {text}")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    """Return a value as a configuration file would have it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _default(one: dataclasses.Field[Any]) -> Any:
    return one.default_factory() if one.default_factory is not dataclasses.MISSING else one.default


# ---- building -----------------------------------------------------------------------------------------------------


def _build(schema: type[Any], values: Any, path: str) -> Any:
    hints, sections = typing.get_type_hints(schema), sections_of(schema)
    built: dict[str, Any] = {}
    for one in dataclasses.fields(schema):
        name, value, hint = f"{path}{one.name}", values[one.name], hints[one.name]
        if one.name in sections:
            built[one.name] = None if value is None else _build(sections[one.name], value, f"{name}.")
        elif one.metadata.get("optimizer"):
            built[one.name] = _checked_optimizer(value, name)
        else:
            built[one.name] = _converted(value, hint, name)
            if one.metadata.get("path") and built[one.name] is not None:
                built[one.name] = str(absolute(built[one.name], used=False))
            _check_limits(built[one.name], one.metadata, name)
    config = schema(**built)
    if hasattr(config, "check"):  # parameters that must fit each other
        config.check(path)
    return config


def _converted(value: Any, hint: Any, name: str) -> Any:
    """Return `value` as the type `hint`, or raise."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if type(None) in options and (value is None or (value == "auto" and str not in options)):
        return None
    if bool in options and isinstance(value, bool):
        return value
    if hint is Any:
        return value
    wanted = next(one for one in options if one not in (type(None), bool) or len(options) == 1)
    origin = typing.get_origin(wanted) or wanted
    if origin is list and isinstance(value, list):
        (item,) = typing.get_args(wanted)
        return [_converted(one, item, f"{name}[{index}]") for index, one in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is int and number and value == value // 1:  # neither infinite nor a fraction
        return int(value)
    if wanted is float and number:
        try:
            return float(value)
        except OverflowError as error:
            raise ConfigError(f"{name}: a number of at most {sys.float_info.max} expected, {value} found.") from error
    if wanted is str and isinstance(value, str):
        return value
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", dict: "a dictionary"}
    expected = "a list" if origin is list else names.get(origin, str(wanted))
    nullable = " or null" if type(None) in options else " or true or false" if bool in options[:-1] else ""
    raise ConfigError(f"{name}: {expected}{nullable} expected, {told(value)} found.{_yaml_hint(value, options)}")


def _yaml_hint(value: Any, options: Sequence[Any]) -> str:
    """Return what to write instead of what only YAML 1.1 takes for true, false or a number."""
    if not isinstance(value, str):
        return ""
    if bool in options and value.lower() in _WORDS_OF_YAML_1_1:
        return f" In YAML 1.2 it is a text: write {_WORDS_OF_YAML_1_1[value.lower()]}."
    if {int, float} & {*options} and value.lstrip("+-")[:1].isdigit():
        return " A number is written in decimal digits: 10, 1e6, 1_000_000."
    return ""


def _check_limits(value: Any, limits: Mapping[str, Any], name: str) -> None:
    if value is None:
        return
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, float) and not math.isfinite(one) and not limits.get("infinite"):
            raise ConfigError(f"{name}: a finite number expected, {one} found.{limits.get('instead', '')}")
    if "choices" in limits and value not in limits["choices"]:
        choices = ", ".join(repr(one) for one in limits["choices"])
        hint = did_you_mean(str(value), map(str, limits["choices"]))
        hint = hint or _yaml_hint(value, [type(one) for one in limits["choices"]])
        raise ConfigError(f"{name}: one of {choices} expected, {value!r} found.{hint}")
    if limits.get("filled") and not value:
        raise ConfigError(f"{name}: a list with at least one entry expected, {value!r} found.")
    for one in value if isinstance(value, list) else [value]:
        if "least" in limits and not one >= limits["least"]:
            raise ConfigError(f"{name}: at least {limits['least']} expected, {one} found.")
        if "above" in limits and not one > limits["above"]:
            raise ConfigError(f"{name}: more than {limits['above']} expected, {one} found.")
        if "most" in limits and not one <= limits["most"]:
            raise ConfigError(f"{name}: at most {limits['most']} expected, {one} found.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _leaves(value: Any) -> list[Any]:
    return [leaf for one in value for leaf in _leaves(one)] if isinstance(value, list) else [value]


def _checked_optimizer(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("classname"), str):
        raise ConfigError(
            f"{name}: a dictionary with a classname expected, for instance {{classname: torch.optim.Adam, lr: 1e-3}}, "
            f"{told(value)} found."
        )
    try:
        found = find_class(value["classname"])
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
    if "." not in value["classname"]:
        value["classname"] = class_path(found)
    if not issubclass(found, torch.optim.Optimizer):
        raise ConfigError(f"{name}: {value['classname']} is no optimiser of torch.")
    arguments = {key: one for key, one in value.items() if key != "classname"}
    check_arguments(found, arguments, name, argument_hint)
    learning_rate = value.get("lr")
    if learning_rate is not None and not (_is_number(learning_rate) and 0 < learning_rate < math.inf):
        raise ConfigError(f"{name}.lr: a positive number expected, {told(learning_rate)} found.")
    for key, one in flatten(arguments, f"{name}.").items():
        if any(isinstance(number, float) and not math.isfinite(number) for number in _leaves(one)):
            raise ConfigError(f"{key}: finite numbers expected, {told(one)} found.")
    if inspect.signature(found.step).parameters["closure"].default is inspect.Parameter.empty:
        raise ConfigError(
            f"{name}: {value['classname']} evaluates the loss several times a step, which is not supported."
        )
    try:  # it knows best what it takes
        found([torch.nn.Parameter(torch.zeros(1))], **arguments)
    except Exception as error:
        raise ConfigError(f"{name}: {value['classname']} refuses {arguments}: {error}") from error
    return value
