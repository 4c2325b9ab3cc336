"""Modules that are imported under another package's name."""

from __future__ import annotations

import importlib.util
import pkgutil
import sys
from collections.abc import Sequence
from functools import partial, wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from multiprocessing import spawn
from types import ModuleType
from typing import Any

from workspace_rl.compat.not_covered import NAMES, looked_up, why_not_covered
from workspace_rl.errors import PackageConflictError

#: Names that programs import, and the modules that they get.
PACKAGES = {name: f"workspace_rl.compat.{name}" for name in ("bbrl", "bbrl_utils", "easypip")}
#: Modules that newer releases of their packages lost.
LOST = {
    "moviepy.editor": "workspace_rl.compat.moviepy_editor",
    "gymnasium.wrappers.autoreset": "gymnasium.wrappers.common",
    "gymnasium.wrappers.time_limit": "gymnasium.wrappers.common",
}
#: Names that newer releases changed.
RENAMED = {
    "gymnasium.wrappers": {"AutoResetWrapper": "Autoreset", "GrayScaleObservation": "GrayscaleObservation"},
    "gymnasium.wrappers.common": {"AutoResetWrapper": "Autoreset"},
}


def install(packages: Sequence[str] = tuple(PACKAGES)) -> None:
    """Let programs import `packages` from this library, and the modules that newer releases lost.

    Raises:
        PackageConflictError: one of them has been imported already from elsewhere.
    """
    for name in packages:
        imported = sys.modules.get(name)
        if imported is not None and not imported.__name__.startswith("workspace_rl."):
            raise PackageConflictError(
                f"the package {name!r} has been imported already, from {imported.__file__}. Its classes and this "
                "library's would be mixed. Call install() before anything imports it: in a notebook, restart the "
                "kernel and make it the first cell."
            )
    if not any(isinstance(finder, _Aliases) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Aliases(PACKAGES))
        sys.meta_path.append(_Aliases(LOST))  # last, so that a release that still has them is used
        for module, names in RENAMED.items():
            found = vars(importlib.import_module(module))
            for old, new in names.items():
                found.setdefault(old, found[new])
        _install_in_workers()


def _install_in_workers() -> None:
    """Let processes that multiprocessing spawns install the same, before they import the program."""
    prepared = spawn.get_preparation_data

    @wraps(prepared)
    def with_aliases(name: str) -> dict[str, Any]:
        return {"packages": _Installed()} | prepared(name)

    spawn.get_preparation_data = with_aliases


class _Installed:
    """Installs when it is read by another process, which reads it first of all."""

    def __reduce__(self) -> tuple[Any, ...]:
        return install, ()


class _Aliases(MetaPathFinder):
    def __init__(self, targets: dict[str, str]) -> None:
        self._targets = targets

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        package = next((one for one in self._targets if f"{name}.".startswith(f"{one}.")), None)
        if package is None:
            return None
        found = self._targets[package] + name.removeprefix(package)
        spec = importlib.util.find_spec(found)
        if spec is None and name in NAMES:
            return ModuleSpec(name, _Empty())
        if spec is None:
            beside = pkgutil.iter_modules(importlib.import_module(found.rpartition(".")[0]).__path__)
            raise ModuleNotFoundError(why_not_covered(name, (one.name for one in beside)), name=name)
        return ModuleSpec(name, _Same(found), is_package=spec.submodule_search_locations is not None)


class _Same(Loader):
    """Loads a module that exists already under its own name, and lets it say what to use instead of what it lacks."""

    def __init__(self, found: str) -> None:
        self._found = found

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._found)
        self._spec = module.__spec__
        if self._found.startswith("workspace_rl."):
            module.__getattr__ = partial(_missing, spec.name, module)  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has just put the alias's there


class _Empty(Loader):
    """Makes a module that the real package has and this library has not: all its names are not covered."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        module.__getattr__ = partial(_missing, spec.name, module)  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


def _missing(alias: str, module: ModuleType, name: str) -> Any:
    if name.startswith("_") or _is_module(f"{alias}.{name}", f"{module.__name__}.{name}", module):
        raise AttributeError(f"module {alias!r} has no attribute {name!r}")
    try:
        return looked_up(alias, name)
    except LookupError:
        pass
    ours = [one for one, value in vars(module).items() if getattr(value, "__module__", "").startswith("workspace_rl")]
    # No AttributeError: `from module import name` would put a message of its own in its place.
    raise ImportError(why_not_covered(f"{alias}.{name}", ours), name=name)


def _is_module(alias: str, name: str, inside: ModuleType) -> bool:
    return alias in NAMES or ("__path__" in vars(inside) and importlib.util.find_spec(name) is not None)
