"""Configurations: what runs can be told, and where it comes from.

- `run_config`: what a run can be told, whatever its algorithm: `RunConfig`.
- `environment_config`: its section `gym_env`: `EnvironmentConfig`.
- `training_config`: its section `algorithm`: `TrainingConfig`, `OffPolicyConfig`, `OnPolicyConfig`.
- `networks_config`: encoders and memories, which stand before networks: `EncoderConfig`, `MemoryConfig`.
- `collectors_config`: its section `collectors`, which may be absent: `CollectorsConfig`.
- `sources`: dictionaries, YAML files, ones that come with the library, overrides `key=value`.
- `schema`: dataclasses as schemas: every key known, every value of its type and within its limits.
- `unknown_keys`: keys that a schema does not have, and what was meant.
- `plain_yaml`: YAML 1.2 to and from plain data.
- `make_env_agent`: environments as configured.
"""

from workspace_rl.config.collectors_config import CollectorsConfig
from workspace_rl.config.networks_config import BLOCKS, EncoderConfig, MemoryConfig
from workspace_rl.config.run_config import RunConfig
from workspace_rl.config.schema import optimizer_option, option
from workspace_rl.config.sources import load_config
from workspace_rl.config.training_config import (
    ActorCriticArchitecture,
    MaskedActions,
    OffPolicyConfig,
    OnPolicyArchitecture,
    OnPolicyConfig,
    PlainActorCriticArchitecture,
    PrioritizedConfig,
    StateDependentExplorationConfig,
    TrainingConfig,
)

__all__ = [
    "BLOCKS",
    "ActorCriticArchitecture",
    "CollectorsConfig",
    "EncoderConfig",
    "MaskedActions",
    "MemoryConfig",
    "OffPolicyConfig",
    "OnPolicyArchitecture",
    "OnPolicyConfig",
    "PlainActorCriticArchitecture",
    "PrioritizedConfig",
    "RunConfig",
    "StateDependentExplorationConfig",
    "TrainingConfig",
    "load_config",
    "optimizer_option",
    "option",
]
