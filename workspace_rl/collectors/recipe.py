"""What a collector is built from, wherever it is to live."""

from __future__ import annotations

from dataclasses import dataclass

from workspace_rl.agent import Agent
from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.envs.known_elsewhere import KnownEnvironment


@dataclass(frozen=True)
class CollectorRecipe:
    """All that a collector needs to know; it can be sent to other processes (by cloudpickle)."""

    #: Its number, from 0.
    number: int
    #: The run's seed.
    seed: int
    env_config: EnvironmentConfig
    #: The environment may be registered, and wrapped, by the program that trains alone.
    known: KnownEnvironment
    n_envs: int
    policy: Agent
    random_policy: Agent | None
    #: Whether policies act in the modes that their modules have now, or in evaluation mode.
    keep_modes: bool
    #: Whether the action of a fragment's last frame is chosen again by the weights of the next one.
    choose_anew: bool
    #: The variables to deliver.
    variables: tuple[str, ...]
    #: Threads of torch.
    threads: int
