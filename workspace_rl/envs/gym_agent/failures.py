"""Errors of environments, with all that is known of where and when they happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from workspace_rl.envs.contract.failures import failure
from workspace_rl.envs.contract.finite import NonFinite
from workspace_rl.envs.gym_agent.episodes import Episodes
from workspace_rl.envs.spaces.observations import space_leaves
from workspace_rl.errors import EnvironmentContractError, EnvironmentFailedError, NonFiniteError

#: Says of which agent and which environment something is, by the environment's index, None where it is not known.
Place = Callable[[int | None], str]


def place(agent: str, label: str, n_envs: int, index: int | None) -> str:
    """Return what messages say of where environment `index` of an agent is."""
    which = f"one of {n_envs} environments" if index is None else f"environment {index} of {n_envs} (from 0)"
    return f"{agent}: {which} {label}"


def at_making(error: BaseException, n_envs: int, where: Place) -> EnvironmentFailedError:
    """Return the error for what was raised when environments were made."""
    failed = failure(error, 0 if n_envs == 1 else None)
    failed.where = f"{where(failed.index)}, while it was made"
    return failed


def at_reset(error: BaseException, seeds: list[int], where: Place) -> EnvironmentFailedError:
    """Return the error for what was raised at a reset with these seeds."""
    failed = failure(error, 0 if len(seeds) == 1 else None)
    index = failed.index
    failed.seed = None if index is None else seeds[index]
    failed.where = f"{where(index)}, at its reset with seed {seeds if index is None else failed.seed}"
    return failed


def at_step(error: BaseException, episodes: Episodes, auto_reset: bool, where: Place) -> EnvironmentFailedError:
    """Return the error for what was raised at a step of these episodes, which have not counted it yet."""
    failed = failure(error, 0 if len(episodes.seeds) == 1 else None)
    index, step = failed.index, None
    if index is not None:
        failed.seed = episodes.seeds[index]
        step = 0 if auto_reset and episodes.done[index] else int(episodes.timestep[index]) + 1
    failed.where = f"{where(index)}, {episodes.moment(index, step, 'reset after its episode')}"
    return failed


def tell_of_frame(error: EnvironmentContractError, episodes: Episodes, where: Place) -> None:
    """Say in the error for what a frame may not hold where and when it was found."""
    index = error.index or 0
    error.seed = episodes.seeds[index]
    error.where = f"{where(index)}, {episodes.moment(index, int(episodes.timestep[index]))}"


def of_nonfinite(
    bad: NonFinite, episodes: Episodes, space: gym.Space[Any], prefix: str, where: Place
) -> NonFiniteError:
    """Return the error for a number that is not finite, in a variable whose name begins with `prefix`."""
    spot = f" at {bad.component}" if bad.component else ""
    option, dtype = "", "float32"
    if bad.variable != "reward":
        leaf = space_leaves(space, "env_obs")[bad.variable][0]
        dtype = "float16" if leaf.dtype == np.float16 else dtype
        option = (
            " Where such observations are meant, and an agent of yours handles them, let them pass: "
            "allow_nonfinite_observations=True (gym_env.allow_nonfinite_observations in a configuration)."
        )
    error = NonFiniteError(
        f"{prefix}{bad.variable} holds {bad.value}{spot}, finite numbers that {dtype} can hold "
        "expected. A division by zero, or a simulation that became unstable, leads to this; the same seed and "
        f"actions lead there again.{option}"
    )
    moment = episodes.moment(bad.environment, int(episodes.timestep[bad.environment]))
    error.where = f"{where(bad.environment)}, {moment}"
    return error
