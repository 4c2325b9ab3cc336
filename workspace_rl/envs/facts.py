"""What is to be known of an environment besides how it is stepped: its time limit, and wrappers with a memory."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv, VectorWrapper


@dataclass(frozen=True)
class EnvironmentFacts:
    """What is known of one environment."""

    #: The steps after which an episode is cut; None if nothing is known to cut it.
    time_limit: int | None
    #: Names of the classes of wrappers with running statistics.
    with_memory: tuple[str, ...]


def facts_of(env: gym.Env[Any, Any] | VectorEnv[Any, Any, Any]) -> EnvironmentFacts:
    """Return what is known of an environment, or of a vector environment, by looking at its wrappers."""
    layers: list[Any] = [env]
    while isinstance(layers[-1], gym.Wrapper | VectorWrapper):
        layers.append(layers[-1].env)
    # By getattr: Python finds the attributes of an object more slowly once its dictionary has been asked for.
    limits = [getattr(one, "_max_episode_steps", None) for one in layers]
    limits.append(getattr(env.spec, "max_episode_steps", None))
    known = [one for one in limits if isinstance(one, int)]
    names = tuple(type(one).__name__ for one in layers[:-1] if _has_memory(one))
    return EnvironmentFacts(min(known, default=None), names)


def _has_memory(wrapper: Any) -> bool:
    """Return whether a wrapper gathers statistics: it holds a mean, a variance and a count, or an object that does."""
    parts = [one for one in vars(wrapper).values() if not isinstance(one, gym.Env | VectorEnv)]
    return any({"mean", "var", "count"} <= _names(one) for one in (wrapper, *parts))


def _names(value: Any) -> set[str]:
    return {name.strip("_") for name in getattr(value, "__dict__", {})}


def warn_of_statistics(facts: EnvironmentFacts, environment: str) -> None:
    """Warn if an environment has wrappers whose statistics are lost wherever environments are made anew."""
    for name in facts.with_memory:
        # From here, so that Python says it once, whoever asks.
        warnings.warn(
            f"environment {environment} is wrapped by {name}, which gathers running statistics. They are no part of "
            "the policy and are not saved: new environments begin without them, for every score and film, after every "
            "checkpoint, and when a run is resumed, so that the policy then sees other numbers than it has learned "
            "from. Statistics belong to the policy: set algorithm.normalize_observations or "
            "algorithm.normalize_rewards to true instead of the wrapper, or scale by fixed numbers, in a wrapper of "
            "yours or by gymnasium.wrappers.RescaleObservation.",
            UserWarning,
            stacklevel=1,
        )
