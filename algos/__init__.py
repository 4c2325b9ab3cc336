"""Algorithms, one file each."""

from workspace_rl.algos.sac import SAC

#: Algorithms by their name in configurations (`algo: sac`).
ALGORITHMS = {"sac": SAC}

__all__ = ["ALGORITHMS", "SAC"]
