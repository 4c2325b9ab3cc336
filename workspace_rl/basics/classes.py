"""Classes named in configurations: `{"classname": "torch.optim.Adam", "lr": 3e-4}`, or `my_module:MyAlgorithm`."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from workspace_rl.basics.old_names import former_names, present_name
from workspace_rl.errors import ConfigError, did_you_mean

#: Packages whose classes a configuration or a saved policy may name without the user's leave.
TRUSTED = ("torch.optim", "torch.nn", "workspace_rl")


def find_class(classname: str, allow: Sequence[str] | None = ()) -> type:
    """Return the class called `classname` ("package.module.Class").

    Args:
        classname: the class's full name; the name alone of one of torch.optim or torch.nn.
        allow: names of further classes, or of packages, that may be named besides `TRUSTED`; None for any class.

    Raises:
        ConfigError: the name is not allowed, or there is no such class.
    """
    classname = _of_torch(classname) or present_name(classname)
    module_name, _, name = classname.rpartition(".")
    _require_trust(classname, allow)
    if not all(part.isidentifier() for part in classname.split(".")):
        raise ConfigError(f"class {classname!r}: a name such as 'torch.optim.Adam' expected.")
    try:
        # The running program is there already, under another name.
        program = module_name == program_name()
        module = sys.modules["__main__"] if program else importlib.import_module(module_name)
        found = getattr(module, name, None)  # which may import a part of it
    except Exception as error:  # a module may raise anything when it is imported
        raise ConfigError(f"class {classname!r}: module {module_name!r} cannot be imported ({error}).") from error
    if not isinstance(found, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        raise ConfigError(f"module {module_name!r} has no class {name!r}.{did_you_mean(name, classes)}")
    # A trusted module may have imported anything; what it imported is not trusted for that.
    _require_trust(class_path(found), allow)
    return found


def _require_trust(classname: str, allow: Sequence[str] | None) -> None:
    if allow is not None and not any(f"{classname}.".startswith(f"{_dotted(one)}.") for one in (*TRUSTED, *allow)):
        near = _of_torch(_last(classname), exactly=False)
        hint = f" Did you mean {near!r}?" if near else ""
        raise ConfigError(f"class {classname!r} may not be named here: only those of {', '.join(TRUSTED)} may.{hint}")


def _of_torch(name: str, *, exactly: bool = True) -> str | None:
    """Return the full name of the class of torch.optim or torch.nn called `name`; None if there is none, or a dot."""
    for package in ("torch.optim", "torch.nn"):
        for key, value in vars(importlib.import_module(package)).items():
            if isinstance(value, type) and (key == name or (not exactly and key.lower() == name.lower())):
                return f"{package}.{key}"
    return None


def require_leave(classname: str, where: str, allow: Sequence[str | type], trusted: Sequence[str] = TRUSTED) -> None:
    """Raise a `ConfigError` unless the class that a run, maybe a stranger's, names may be imported and built.

    Those of `trusted` packages may, those that the user allows by name, and those of modules that the program has
    imported by itself.

    Args:
        classname: "module.Class".
        where: what the run names it for, and where: "gym_env.wrappers[0]: the run wraps its environment by".
        allow: classes, or names of classes and modules.
        trusted: packages.
    """
    names = [one.replace(":", ".") if isinstance(one, str) else class_path(one) for one in allow]
    module, _, name = classname.rpartition(".")
    known = isinstance(getattr(sys.modules.get(module), name, None), type)
    if not known and not any(f"{classname}.".startswith(f"{one}.") for one in (*trusted, *names)):
        raise ConfigError(
            f"{where} {classname!r}, a class that is not of {' or '.join(trusted)}. If you trust it, allow it by name, "
            f"allow=[{classname!r}] (--allow {classname}), or import its module first."
        )


def is_trusted(found: type) -> bool:
    """Return whether a class may be named without the user's leave."""
    return any(class_path(found).startswith(f"{one}.") for one in TRUSTED)


def class_path(found: type) -> str:
    """Return the full name of a class: of torch and the library by the outermost package that exports it.

    Such names stay good when a class moves within the package.
    """
    parts = found.__module__.split(".")
    for package in (".".join(parts[:n]) for n in range(1, len(parts))):
        trusted = any(f"{package}.".startswith(f"{one}.") for one in TRUSTED)
        if trusted and package in sys.modules and vars(sys.modules[package]).get(found.__name__) is found:
            return f"{package}.{found.__name__}"
    return class_name(found).replace(":", ".")


def is_within(found: type, name: str) -> bool:
    """Return whether `name` is one of a class's full names, or that of a module or a package that it stands in."""
    known = (class_path(found), *former_names(class_path(found)), class_name(found).replace(":", "."))
    return any(f"{one}.".startswith(f"{name.replace(':', '.')}.") for one in known)


# ---- classes of the user's own -----------------------------------------------------------------------------------


def class_name(found: type) -> str:
    """Return the full name of a class, "module:Class"; a script's classes are called after its file."""
    module = found.__module__
    return f"{program_name() if module == '__main__' else module}:{found.__qualname__}"


def program_name() -> str:
    """Return the name by which the running program could be imported, "__main__" where there is none (a notebook)."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m package.module
        return str(spec.name)
    file = Path(str(getattr(main, "__file__", None) or ""))
    return file.stem if file.suffix == ".py" and file.stem.isidentifier() else "__main__"


def stood_in_a_program(name: str) -> bool:
    """Return whether a class cannot be imported by its full name: it stood in a notebook, or within a function."""
    return name.startswith(("__main__:", "__main__.")) or "<locals>" in name


def is_called(found: type, name: str) -> bool:
    """Return whether a class is what `name` ("module:Class" or "module.Class") stands for.

    Where it cannot be imported by that name, a class of the same name that the user hands over is.
    """
    dotted = present_name(name).replace(":", ".")
    if dotted in (class_name(found).replace(":", "."), class_path(found)):
        return True
    module, _, own = dotted.rpartition(".")
    if getattr(sys.modules.get(module), "__dict__", {}).get(own) is found:  # a package hands on what its files hold
        return True
    return stood_in_a_program(name) and found.__name__ == _last(name)


def allowed_list(allow: Any) -> list[str | type]:
    """Return what a user allows, classes, modules, their names, or one of these, as a list of classes and names.

    Raises:
        ConfigError: something else is among it.
    """
    given = [allow] if isinstance(allow, str | type | ModuleType) else allow
    if not isinstance(given, Iterable) or not all(isinstance(one, str | type | ModuleType) for one in given):
        raise ConfigError(f"allow: classes, or names such as 'my_module:MyClass', expected, {allow!r} found.")
    return [one.__name__ if isinstance(one, ModuleType) else one for one in given]


def find_allowed(name: str, allow: Sequence[str | type]) -> type | None:
    """Return the class called `name` if `allow` holds or names it, else None; nothing else is imported.

    Args:
        name: "module:Class" or "module.Class".
        allow: classes, their names in either form, or the names of modules whose classes are all allowed.

    Raises:
        ConfigError: what is allowed by name cannot be imported, or is no class.
    """
    for given in (one for one in allow if isinstance(one, type)):
        if is_called(given, name):
            return given
    for allowed in (one for one in allow if isinstance(one, str)):
        covered = f"{_dotted(name)}.".startswith(f"{_dotted(allowed)}.")
        if covered and not stood_in_a_program(name):
            return import_class(name)
        if ":" in allowed or _last(allowed) == _last(name):  # by another name: from where the class stands now
            found = import_class(allowed)
            if is_called(found, name):
                return found
    return None


def import_class(name: str) -> type:
    """Import the class called "module:Class" (or "module.Class").

    Raises:
        ConfigError: the module cannot be imported, or has no such class.
    """
    name = present_name(name)
    module, colon, classname = name.partition(":")
    if not colon:
        module, _, classname = name.rpartition(".")
    if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", f"{module}:{classname}"):
        raise ConfigError(f"class {name!r}: a name such as 'my_module:MyClass' expected.")
    try:
        # The running program is there already, under another name.
        found = pkgutil.resolve_name(f"{'__main__' if module == program_name() else module}:{classname}")
    except AttributeError as error:
        raise ConfigError(f"module {module!r} has no class {classname!r}.") from error
    except Exception as error:  # a module may raise anything when it is imported
        raise ConfigError(
            f"class {name!r}: module {module!r} cannot be imported ({type(error).__name__}: {error}). It must be "
            "installed, or lie where Python looks for modules (PYTHONPATH)."
        ) from error
    if not isinstance(found, type):
        raise ConfigError(f"{name!r} is a {type(found).__name__}, no class.")
    return found


def _dotted(name: str) -> str:
    """Return a name as "module.Class", as it is now, and that of the running program as it is recorded."""
    dotted = present_name(name).replace(":", ".")
    head, dot, rest = dotted.partition(".")
    return f"{program_name()}{dot}{rest}" if head == "__main__" else dotted


def _last(name: str) -> str:
    return name.replace(":", ".").rpartition(".")[2]


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


def check_arguments(
    found: type,
    arguments: Mapping[str, Any],
    where: str = "",
    hint: Callable[[object, Mapping[str, Any]], str] | None = None,
) -> None:
    """Raise a `ConfigError` if `arguments` holds a name that the constructor of `found` does not know.

    Args:
        found: the class.
        arguments: what its constructor is to be given.
        where: what the message begins with.
        hint: says what an argument is called here, given its name and those that are known.
    """
    parameters = inspect.signature(found).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return
    for name in arguments:
        if name not in parameters:
            way_out = (hint(name, parameters) if hint else "") or did_you_mean(str(name), parameters)
            raise ConfigError(f"{where + ': ' if where else ''}{found.__name__} has no argument {name!r}.{way_out}")
