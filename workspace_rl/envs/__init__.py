"""Environments as agents: made by their names, stepped together, their spaces and actions."""

from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.envs.make_env import make_env

__all__ = ["GymAgent", "make_env"]
