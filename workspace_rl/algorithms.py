"""Algorithms by their names in configurations."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from workspace_rl.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from workspace_rl.training import OffPolicyAlgorithm


def all_algorithms() -> dict[str, type[OffPolicyAlgorithm[Any]]]:
    """Return the library's algorithms by their names in configurations."""
    # Imported here, since algorithms import the framework.
    known: dict[str, type[OffPolicyAlgorithm[Any]]] = importlib.import_module("workspace_rl.algos").ALGORITHMS
    return known


def find_algorithm(name: object) -> type[OffPolicyAlgorithm[Any]]:
    """Return the algorithm called `name` in configurations ("sac").

    Raises:
        ConfigError: there is no such algorithm.
    """
    known = all_algorithms()
    if not isinstance(name, str) or name not in known:
        hint = did_you_mean(name, known) if isinstance(name, str) else ""
        raise ConfigError(f"algo: one of {', '.join(known)} expected, {name!r} found.{hint}")
    return known[name]
