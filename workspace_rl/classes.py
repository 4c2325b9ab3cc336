"""Classes named in configurations: `{"classname": "torch.optim.Adam", "lr": 3e-4}`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workspace_rl.errors import ConfigError, did_you_mean

#: Packages whose classes a configuration or a saved policy may name without the user's leave.
TRUSTED = ("torch.optim", "torch.nn", "workspace_rl")


def find_class(classname: str, allow: Sequence[str] | None = ()) -> type:
    """Return the class called `classname` ("package.module.Class").

    Args:
        classname: the class's full name.
        allow: names of further classes, or of packages, that may be named besides `TRUSTED`; None for any class.

    Raises:
        ConfigError: the name is not allowed, or there is no such class.
    """
    module_name, _, name = classname.rpartition(".")
    _require_trust(classname, allow)
    if not all(part.isidentifier() for part in classname.split(".")):
        raise ConfigError(f"class {classname!r}: a name such as 'torch.optim.Adam' expected.")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module may raise anything when it is imported
        raise ConfigError(f"class {classname!r}: module {module_name!r} cannot be imported ({error}).") from error
    found = getattr(module, name, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        raise ConfigError(f"module {module_name!r} has no class {name!r}.{did_you_mean(name, classes)}")
    # A trusted module may have imported anything; what it imported is not trusted for that.
    _require_trust(f"{found.__module__}.{found.__qualname__}", allow)
    return found


def _require_trust(classname: str, allow: Sequence[str] | None) -> None:
    if allow is not None and not any(f"{classname}.".startswith(f"{one}.") for one in (*TRUSTED, *allow)):
        raise ConfigError(
            f"class {classname!r} may not be named here: only those of {', '.join(TRUSTED)} may. "
            f"If you trust it, allow it by name: allow=[{classname!r}]."
        )


def class_path(found: type) -> str:
    """Return the full name of a class, in its shortest public form for torch.optim and torch.nn."""
    for package in ("torch.optim", "torch.nn"):
        if found.__module__.startswith(f"{package}.") and hasattr(importlib.import_module(package), found.__name__):
            return f"{package}.{found.__name__}"
    return f"{found.__module__}.{found.__qualname__}"


def instantiate_class(config: Mapping[str, Any], build: Callable[..., Any] | None = None) -> Any:
    """Build the object that `config` describes, by `build(class, **arguments)` if given.

    Raises:
        ConfigError: there is no `classname`, the class may not be named, or an argument is unknown to it.
    """
    arguments = dict(config)
    classname = arguments.pop("classname", None)
    if not isinstance(classname, str):
        raise ConfigError(f"{arguments!r} needs a 'classname', for instance 'torch.optim.Adam'.")
    found = find_class(classname)
    check_arguments(found, arguments)
    return build(found, **arguments) if build else found(**arguments)


def check_arguments(found: type, arguments: Mapping[str, Any], where: str = "") -> None:
    """Raise a `ConfigError` if `arguments` holds a name that the constructor of `found` does not know."""
    parameters = inspect.signature(found).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return
    for name in arguments:
        if name not in parameters:
            raise ConfigError(
                f"{where + ': ' if where else ''}{found.__name__} has no argument {name!r}."
                f"{did_you_mean(str(name), parameters)}"
            )
