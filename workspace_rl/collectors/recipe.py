"""What a collector is built from, wherever it is to live."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import gymnasium as gym

from workspace_rl.agent import Agent
from workspace_rl.basics.classes import program_name
from workspace_rl.config.environment_config import EnvironmentConfig


@dataclass(frozen=True)
class CollectorRecipe:
    """All that a collector needs to know; it can be sent to other processes (by cloudpickle)."""

    #: Its number, from 0.
    number: int
    #: The run's seed.
    seed: int
    env_config: EnvironmentConfig
    #: What gymnasium knows of the environment: that may be registered by the program that trains alone.
    env_spec: Any
    #: Classes that it names and that stand in the program itself, which other processes do not run, by module.
    of_program: Mapping[str, Mapping[str, Any]]
    n_envs: int
    policy: Agent
    random_policy: Agent | None
    #: Whether policies act in the modes that their modules have now, or in evaluation mode.
    keep_modes: bool
    #: The variables to deliver.
    variables: tuple[str, ...]
    #: Threads of torch.
    threads: int

    def make_known(self) -> None:
        """Register the environment, and put the program's own classes where names look, in another process."""
        for name, classes in self.of_program.items():
            if name != program_name() or name == "__main__":
                module = sys.modules.setdefault(name, ModuleType(name))
                vars(module).update(classes)
        spec = self.env_spec
        if spec is not None and spec.id not in gym.registry:
            gym.registry[spec.id] = spec


def spec_of(env_name: str) -> Any:
    """Return what gymnasium knows of an environment, None if it cannot be told by its name alone."""
    return gym.registry.get(env_name.rpartition(":")[2])


def classes_of_program(config: EnvironmentConfig, spec: Any) -> dict[str, dict[str, Any]]:
    """Return what an environment's configuration names in the running program itself, by the module that it names."""
    names = [entry["classname"] for entry in config.wrappers]
    names += [getattr(spec, kind, None) for kind in ("entry_point", "vector_entry_point")]
    names += [entry.entry_point for entry in getattr(spec, "additional_wrappers", ())]
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        module, _, of_module = str(name).replace(":", ".").rpartition(".")
        main = sys.modules["__main__"]
        if isinstance(name, str) and module in ("__main__", program_name()) and hasattr(main, of_module):
            found.setdefault(module, {})[of_module] = getattr(main, of_module)
    return found
