"""Modules that are imported under another package's name."""

from __future__ import annotations

import importlib.util
import pkgutil
import sys
from collections.abc import Iterable, Sequence
from functools import partial
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
    "gymnasium.wrappers.time_limit": "gymnasium.wrappers.common",
}
#: Modules and names that are not covered, and what to use instead.
INSTEAD = {
    "asynchronous remote AsynchronousAgent RemoteAgent NRemoteAgent": "workspace_rl.GymAgent(vectorization='async')",
    "VecGymAgent": "ParallelGymAgent, or workspace_rl.GymAgent(vectorization='async')",
    "gyma gymb": "ParallelGymAgent of bbrl.agents.gymnasium, with make_env(..., autoreset=True) for training",
    "dataloader ShuffledDatasetAgent DataLoaderAgent": "an agent of your own whose forward() writes a batch at t=0",
    "trace trace_workspace": "print(workspace)",
    "make_gym_env": "make_env of bbrl.agents.gymnasium",
    "get_env_dimensions": "get_obs_and_actions_sizes() of ParallelGymAgent",
    "key_path_in_dict": "omegaconf.OmegaConf.select",
    "set_value_with_key_path": "omegaconf.OmegaConf.update",
    "is_vec_of_ones": "(vector == 1).all()",
    "Log Logs": "the pandas.DataFrame that read_directories returns",
    "plot_dataframe": "DataFrame.plot",
    "get_directories": "Path.rglob",
    "plot_trajectories": "bbrl.visu.plot_policies",
    "svpg_histograms": "matplotlib's hist()",
    "play": "torch.load, and record_video of bbrl.agents.gymnasium",
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


def _not_covered(name: str, known: Iterable[str]) -> str:
    last = name.rpartition(".")[2]
    instead = next((text for names, text in INSTEAD.items() if last in names.split()), None)
    hint = f" Use {instead} instead." if instead else did_you_mean(last, known)
    return f"workspace_rl stands in for {name.partition('.')[0]!r}, but {name!r} is not covered.{hint}"


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
            beside = pkgutil.iter_modules(importlib.import_module(found.rpartition(".")[0]).__path__)
            raise ModuleNotFoundError(_not_covered(name, (one.name for one in beside)), name=name)
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


def _missing(alias: str, module: ModuleType, name: str) -> Any:
    if name.startswith("_") or ("__path__" in vars(module) and importlib.util.find_spec(f"{module.__name__}.{name}")):
        raise AttributeError(f"module {alias!r} has no attribute {name!r}")
    ours = [one for one, value in vars(module).items() if getattr(value, "__module__", "").startswith("workspace_rl")]
    # No AttributeError: `from module import name` would put a message of its own in its place.
    raise ImportError(_not_covered(f"{alias}.{name}", ours), name=name)
