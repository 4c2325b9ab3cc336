"""`gymnasium.wrappers.time_limit`, which gymnasium 1 no longer has."""

from gymnasium.wrappers import TimeLimit

__all__ = ["TimeLimit"]
