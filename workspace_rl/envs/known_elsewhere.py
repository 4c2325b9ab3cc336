"""Environments of the running program, made known to processes that do not run it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

import gymnasium as gym

from workspace_rl.basics.classes import program_name


@dataclass(frozen=True)
class KnownEnvironment:
    """What this program knows of an environment; it is sent by value (cloudpickle)."""

    #: What gymnasium knows of it, which the program may have registered; None if its name alone does not tell.
    spec: Any
    #: Classes that it names and that stand in the program itself, by the module that is named.
    of_program: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, env_name: str, wrappers: Iterable[Mapping[str, Any]] = ()) -> Self:
        """Return what is known of an environment, and of the wrappers that a configuration puts around it."""
        spec = gym.registry.get(env_name.rpartition(":")[2])
        names = [entry["classname"] for entry in wrappers]
        names += [getattr(spec, kind, None) for kind in ("entry_point", "vector_entry_point")]
        names += [entry.entry_point for entry in getattr(spec, "additional_wrappers", ())]
        found: dict[str, dict[str, Any]] = {}
        for name in names:
            module, _, of_module = str(name).replace(":", ".").rpartition(".")
            main = sys.modules["__main__"]
            if isinstance(name, str) and module in ("__main__", program_name()) and hasattr(main, of_module):
                found.setdefault(module, {})[of_module] = getattr(main, of_module)
        return cls(spec, found)

    def make_known(self) -> None:
        """Register the environment, and put the program's own classes where names look, in another process."""
        for name, classes in self.of_program.items():
            if name != program_name() or name == "__main__":
                module = sys.modules.setdefault(name, ModuleType(name))
                vars(module).update(classes)
        if self.spec is not None and self.spec.id not in gym.registry:
            gym.registry[self.spec.id] = self.spec
