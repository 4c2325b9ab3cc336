"""Modules that are imported under another package's name."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from workspace_rl.errors import PackageConflictError, did_you_mean

#: Names that programs import, and the modules that they get.
PACKAGES = {name: f"workspace_rl.compat.{name}" for name in ("bbrl", "bbrl_utils", "easypip")}
#: Modules that newer releases of their packages lost.
LOST = {
    "moviepy.editor": "workspace_rl.compat.moviepy_editor",
    "gymnasium.wrappers.time_limit": "workspace_rl.compat.time_limit",
}
#: What to use instead of modules that are not covered.
INSTEAD = {
    "bbrl.agents.gyma": "ParallelGymAgent of bbrl.agents.gymnasium, with make_env(..., autoreset=True) for training",
    "bbrl.agents.gymb": "ParallelGymAgent of bbrl.agents.gymnasium, with make_env(..., autoreset=True) for training",
    "bbrl.agents.asynchronous": "workspace_rl.GymAgent(..., vectorization='async')",
    "bbrl.agents.remote": "workspace_rl.GymAgent(..., vectorization='async')",
    "bbrl.agents.dataloader": "an agent of your own whose forward() writes the next batch at t=0",
    "bbrl.utils.functionalb": "bbrl.utils.functional",
    "bbrl.visu.plot_trajectories": "bbrl.visu.plot_policies",
    "bbrl.visu.svpg_histograms": "matplotlib's hist()",
    "bbrl.visu.play": "load_model, and record_video of bbrl.agents.gymnasium",
    "bbrl.visu.visu_policies": "bbrl.visu.plot_policies",
    "bbrl.visu.visu_critics": "bbrl.visu.plot_critics",
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


def not_covered(module: str, known: dict[str, Any], **instead: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module: it says what to use instead of a name that is not there."""

    def missing(name: str) -> Any:
        ours = module.removeprefix("workspace_rl.compat.")
        if name.startswith("_") or ("__path__" in known and importlib.util.find_spec(f"{module}.{name}")):
            raise AttributeError(f"module {ours!r} has no attribute {name!r}")
        ours_too = [one for one, value in known.items() if getattr(value, "__module__", "").startswith("workspace_rl")]
        hint = f" Use {instead[name]} instead." if name in instead else did_you_mean(name, ours_too)
        # No AttributeError: `from module import name` would put a message of its own in its place.
        raise ImportError(f"workspace_rl's {ours!r} has no {name!r}.{hint}", name=name)

    return missing


class _Aliases(MetaPathFinder):
    def __init__(self, targets: dict[str, str]) -> None:
        self._targets = targets

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        package = next((one for one in self._targets if f"{name}.".startswith(f"{one}.")), None)
        if package is None:
            return None
        found = self._targets[package] + name.removeprefix(package)
        spec = importlib.util.find_spec(found)
        if spec is None:
            hint = (
                f"Use {INSTEAD[name]} instead." if name in INSTEAD else "It is not among the modules that are covered."
            )
            raise ModuleNotFoundError(f"workspace_rl stands in for {package!r} and has no {name!r}. {hint}", name=name)
        return ModuleSpec(name, _Same(found), is_package=spec.submodule_search_locations is not None)


class _Same(Loader):
    """Loads a module that exists already under its own name."""

    def __init__(self, found: str) -> None:
        self._found = found

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._found)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has just put the alias's there
