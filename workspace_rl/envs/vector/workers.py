"""What runs in the process of an environment."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.vector.async_vector_env import _async_worker

from workspace_rl.envs.contract.checked_env import CheckedEnv, sendable
from workspace_rl.envs.contract.infos import InfoKeys
from workspace_rl.envs.spaces.actions import check_action_space
from workspace_rl.envs.spaces.observations import space_leaves
from workspace_rl.errors import EnvironmentFailedError
from workspace_rl.machine.processes import own_group


class CloseFailure(Exception):
    """Marks what an environment raised when it was closed, among what else workers report."""


def make_checked(make: Callable[[], gym.Env[Any, Any]], index: int, info_keys: InfoKeys | None) -> CheckedEnv:
    """Return a new environment that is checked, and of whose infos `info_keys` are passed on.

    Raises:
        UnsupportedSpaceError: a space is of a kind that is not supported.
        EnvironmentFailedError: making it raised an exception.
    """
    try:
        env = CheckedEnv(make(), index, info_keys=info_keys)
        space_leaves(env.observation_space, "env_obs")
        check_action_space(env.action_space)
    except (Exception, SystemExit) as error:
        raise sendable(error, index) from error
    return env


def work(
    index: int,
    make: Callable[[], gym.Env[Any, Any]],
    pipe: Any,
    parent_pipe: Any,
    shared_memory: Any,
    error_queue: Any,
    *rest: Any,
) -> None:
    """Run one environment, as gymnasium does, but report what happens while it is made as well."""
    with own_group():
        _run_environment(index, make, pipe, parent_pipe, shared_memory, error_queue, *rest)


def _run_environment(
    index: int, make: Callable[[], Any], pipe: Any, parent_pipe: Any, shared_memory: Any, error_queue: Any, *rest: Any
) -> None:
    try:
        env: Any = make()
    except (Exception, SystemExit) as error:
        parent_pipe.close()
        pipe.recv()  # an answer is only looked at after the question
        error_queue.put((index, EnvironmentFailedError, sendable(error), traceback.format_exc()))
        pipe.send((None, False))
        return
    env.on_close_failure = lambda error: error_queue.put((index, CloseFailure, error, ""))
    try:
        _async_worker(index, lambda: env, pipe, parent_pipe, shared_memory, error_queue, *rest)
    except (OSError, EOFError):  # the process that started this one has gone
        pass
