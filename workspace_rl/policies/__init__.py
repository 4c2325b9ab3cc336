"""Policies on disk: weights, construction, and the spaces that they are for. Nothing is unpickled."""

from workspace_rl.policies.files import load_policy, save_policy

__all__ = ["load_policy", "save_policy"]
