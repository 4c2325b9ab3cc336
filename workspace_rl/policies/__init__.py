"""Policies outside of training: on disk, where nothing is unpickled, their spaces, and what they remember.

- `saving`: `save_policy`, and whether it will be able to.
- `loading`: `load_policy`: the agents are built anew, and given their weights.
- `construction`: what agents were built with, as plain data, and agents built from that.
- `files`: where the two files of a policy are, and what tells damage.
- `spaces`: the spaces that a policy was made for.
- `stepwise_memory`: what a policy remembers between single steps.
"""

from workspace_rl.policies.loading import load_policy
from workspace_rl.policies.saving import save_policy

__all__ = ["load_policy", "save_policy"]
