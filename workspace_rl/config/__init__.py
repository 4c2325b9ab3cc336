"""Configurations: what runs can be told, where it comes from, and the algorithm that it is for."""

from workspace_rl.config.run_config import ActorCriticArchitecture, OffPolicyConfig, RunConfig
from workspace_rl.config.schema import optimizer_option, option

__all__ = ["ActorCriticArchitecture", "OffPolicyConfig", "RunConfig", "optimizer_option", "option"]
