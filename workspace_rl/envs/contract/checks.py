"""What an environment, its `reset` and its `step` must be and return, and the error that says what is wrong."""

from __future__ import annotations

import itertools
import numbers
from typing import Any

import gymnasium as gym
import numpy as np

from workspace_rl.envs.contract.failures import described
from workspace_rl.envs.contract.infos import InfoKeys
from workspace_rl.envs.contract.observations import check_observation
from workspace_rl.errors import EnvironmentContractError

#: Types of (reward, terminated, truncated, info) that need no closer look; looking them up costs 0.1 µs.
USUAL_TYPES = frozenset(
    itertools.product((float, np.float64, np.float32, int), (bool, np.bool_), (bool, np.bool_), (dict,))
)


def check_made(env: Any) -> None:
    """Raise an `EnvironmentContractError` unless `env` is an environment of gymnasium with spaces of gymnasium."""
    if not isinstance(env, gym.Env):
        raise EnvironmentContractError(
            f"the function that makes it must return a gymnasium.Env, {described(env)} found. If it was written for "
            "the old package gym, derive it from gymnasium's class. A vector environment is given itself, not made."
        )
    for name in ("observation_space", "action_space"):
        space = getattr(env, name, None)
        if not isinstance(space, gym.Space):
            raise EnvironmentContractError(
                f"its {name} must be one of gymnasium.spaces, {described(space)} found. If it was written for the old "
                "package gym, import gymnasium as gym."
            )


def check_reset(outcome: Any, space: gym.Space[Any]) -> None:
    """Raise an `EnvironmentContractError` unless `outcome` is what `reset` must return for this observation space."""
    check_reset_values(outcome)
    check_observation(outcome[0], space)


def check_reset_values(outcome: Any, *, any_info: bool = False) -> None:
    """Raise an `EnvironmentContractError` unless `outcome` is what `reset` must return, the observation aside.

    With `any_info` the info may be anything: wrappers of vector environments make lists of them.
    """
    if not isinstance(outcome, tuple | list) or len(outcome) != 2:
        raise EnvironmentContractError(
            f"its reset must return (observation, info), {described(outcome)} found. If it was written for the old "
            "package gym, return an empty dictionary as well."
        )
    if not any_info:
        _check_info(outcome[1])


def kept_info(info: Any, keys: InfoKeys | None) -> dict[str, Any]:
    """Return what of an environment's info goes on: the keys that were asked for, if any.

    Whatever else stands there matters to nobody. All infos pass here and nowhere else, in the environment's own
    process.

    Raises:
        EnvironmentContractError: a key that was asked for is missing, or of another shape or dtype.
    """
    return keys.of_one(info) if keys else {}


def check_step(outcome: Any) -> None:
    """Raise an `EnvironmentContractError` unless `outcome` is what `step` must return, the observation aside."""
    check_step_values(outcome)
    _, reward, terminated, truncated, info = outcome
    if (type(reward), type(terminated), type(truncated), type(info)) in USUAL_TYPES:
        return
    if not _is_real(reward):
        raise EnvironmentContractError(f"its reward must be one real number, {described(reward)} found.")
    for name, value in (("terminated", terminated), ("truncated", truncated)):
        if not (_is_real(value) and value in (0, 1)):
            raise EnvironmentContractError(f"its {name!r} must be True or False, {described(value)} found.")


def check_step_values(outcome: Any, *, any_info: bool = False) -> None:
    """Raise an `EnvironmentContractError` unless `outcome` is as many values as `step` must return, and an info.

    With `any_info` the info may be anything.
    """
    if not isinstance(outcome, tuple | list) or len(outcome) != 5:
        raise EnvironmentContractError(
            "its step must return (observation, reward, terminated, truncated, info), "
            f"{described(outcome)} found. If it was written for the old package gym, which returned 4 values, split "
            "its 'done' into terminated (the task is over) and truncated (it was cut, as by a time limit)."
        )
    if not any_info:
        _check_info(outcome[4])


def _check_info(info: Any) -> None:
    if not isinstance(info, dict):
        raise EnvironmentContractError(f"its 'info' must be a dictionary, {described(info)} found.")


def _is_real(value: Any) -> bool:
    if isinstance(value, numbers.Real | np.bool_):
        return True
    array = value if hasattr(value, "dtype") and getattr(value, "shape", None) == () else None
    return array is not None and np.asarray(array).dtype.kind in "biuf"
