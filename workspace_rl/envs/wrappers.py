"""Wrappers of environments that configurations name: `gym_env.wrappers`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium as gym

from workspace_rl.basics.classes import check_arguments, class_path, find_class, require_leave
from workspace_rl.envs.make_env import Wrapper
from workspace_rl.errors import ConfigError, did_you_mean

#: Where names without a dot are looked for.
GYMNASIUM = "gymnasium.wrappers"
#: What may stand in anybody's configuration.
TRUSTED = (GYMNASIUM, "workspace_rl")
#: They write files or open windows wherever a configuration says: films are for `record`.
REFUSED = ("RecordVideo", "HumanRendering", "RenderCollection")


def normalised(given: Any, path: str) -> list[dict[str, Any]]:
    """Return the wrappers of a configuration as dictionaries with a full `classname`; nothing is imported.

    Raises:
        ConfigError: an entry is neither a name nor a dictionary with a `classname`, or may not be used here.
    """
    entries = []
    for index, one in enumerate(given):
        name = f"{path}wrappers[{index}]"
        entry = dict(one) if isinstance(one, Mapping) else {"classname": one}
        classname = entry.get("classname")
        if not isinstance(classname, str) or not classname or not all(isinstance(key, str) for key in entry):
            raise ConfigError(
                f"{name}: a wrapper's name, such as FlattenObservation, or {{classname: RepeatAction, "
                f"num_repeats: 4}} expected, {one!r} found."
            )
        classname = classname.replace(":", ".")  # as algorithms are named
        entry["classname"] = classname if "." in classname else f"{GYMNASIUM}.{classname}"
        if "env" in entry:
            raise ConfigError(f"{name}: the argument 'env' is the environment itself; it is not to be given.")
        entries.append(entry)
    return entries


def find_wrappers(entries: Sequence[Mapping[str, Any]]) -> list[Wrapper]:
    """Return the functions that wrap an environment, in order, the last one outermost.

    Raises:
        ConfigError: there is no such class, it is no wrapper of environments, or an argument is unknown to it.
    """
    return [_wrapper(entry, f"gym_env.wrappers[{index}]") for index, entry in enumerate(entries)]


def _wrapper(entry: Mapping[str, Any], name: str) -> Wrapper:
    arguments = {key: value for key, value in entry.items() if key != "classname"}
    classname = entry["classname"]
    module, _, short = classname.rpartition(".")
    try:
        found = find_class(classname, allow=None)
    except ConfigError as error:
        hint = ""
        if module == GYMNASIUM and "Did you mean" not in str(error):  # those that it imports when they are asked for
            hint = did_you_mean(short, gym.wrappers.__all__)
        if "cannot be imported" in str(error):
            hint = " Is its module installed, or in a folder where Python looks for modules (PYTHONPATH=.)?"
        raise ConfigError(f"{name}: {error}{hint}") from error
    if not issubclass(found, gym.Wrapper) or found is gym.Wrapper:
        raise ConfigError(
            f"{name}: {classname} is no wrapper of an environment, a subclass of gymnasium.Wrapper is expected."
        )
    if found.__name__ in REFUSED and found.__module__.startswith(f"{GYMNASIUM}."):
        raise ConfigError(
            f"{name}: {classname} shows or films an environment while it is trained in, which is not done here: films "
            "come from record_best, Run.record and workspace-rl record."
        )
    if "func" in arguments or short.startswith("Transform"):
        raise ConfigError(
            f"{name}: {classname} takes a function, which a configuration cannot hold. Write a subclass of "
            "gymnasium.Wrapper in a module of yours, and name it: my_module.MyWrapper."
        )
    check_arguments(found, arguments, name)
    for key, one in inspect.signature(found).parameters.items():
        # Files have lists only, which some wrappers refuse.
        kinds = re.split(r" *\| *", re.sub(r"\[.*?\]", "", str(one.annotation)))
        if isinstance(arguments.get(key), list) and "tuple" in kinds:
            arguments[key] = tuple(arguments[key])
    return partial(_wrapped, found, arguments, name)


def _wrapped(found: type[Any], arguments: Mapping[str, Any], name: str, env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    try:
        wrapped: gym.Env[Any, Any] = found(env, **arguments)
    except Exception as error:  # it knows best what it takes
        given = f" with {dict(arguments)}" if arguments else ""
        raise ConfigError(
            f"{name}: {class_path(found)}{given} cannot wrap {env}: {type(error).__name__}: {error}"
        ) from error
    return wrapped


def require_trusted(entries: Sequence[Mapping[str, Any]], allow: Sequence[str | type]) -> None:
    """Raise a `ConfigError` unless all these wrappers of a run, which may be a stranger's, may be imported and built.

    Those of gymnasium and of this library may, and those that `require_leave` lets pass.
    """
    for index, entry in enumerate(entries):
        where = f"gym_env.wrappers[{index}]: the run wraps its environment by"
        require_leave(entry["classname"], where, allow, TRUSTED)
