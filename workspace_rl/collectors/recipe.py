"""What a collector is built from, wherever it is to live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from workspace_rl.agent import Agent
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
        """Register the environment, in a process that does not know it."""
        spec = self.env_spec
        if spec is not None and spec.id not in gym.registry:
            gym.registry[spec.id] = spec


def spec_of(env_name: str) -> Any:
    """Return what gymnasium knows of an environment, None if it cannot be told by its name alone."""
    return gym.registry.get(env_name.rpartition(":")[2])
