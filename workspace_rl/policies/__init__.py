"""Policies on disk: weights, construction, and the spaces that they are for. Nothing is unpickled.

- `saving`: `save_policy`, and whether it will be able to.
- `loading`: `load_policy`: the agents are built anew, and given their weights.
- `construction`: what agents were built with, as plain data, and agents built from that.
- `files`: where the two files of a policy are, and what tells damage.
- `spaces`: the spaces that a policy was made for.
"""

from workspace_rl.policies.loading import load_policy
from workspace_rl.policies.saving import save_policy

__all__ = ["load_policy", "save_policy"]
