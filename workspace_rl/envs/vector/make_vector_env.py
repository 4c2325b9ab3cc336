"""Copies of an environment that are stepped together, from an id, a function, or a vector environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import gymnasium as gym
from gymnasium.vector import VectorEnv

from workspace_rl.envs.contract.checked_vector import CheckedVector
from workspace_rl.envs.contract.infos import InfoKeys
from workspace_rl.envs.make_env import Wrapper, make_env, with_true_spaces
from workspace_rl.envs.providers import make_env_spec, missing_simulator
from workspace_rl.envs.rendering import configure_headless_rendering
from workspace_rl.envs.simulators.atari import AtariVector, make_atari_vector_env
from workspace_rl.envs.vector.async_envs import AsyncEnvs
from workspace_rl.envs.vector.one_episode import one_episode
from workspace_rl.envs.vector.sync_envs import SyncEnvs
from workspace_rl.errors import CompositionError

Vectorization = Literal["sync", "async", "vector_entry_point"]


def make_vector_env(
    env: str | Callable[[], gym.Env[Any, Any]] | VectorEnv[Any, Any, Any],
    n_envs: int,
    auto_reset: bool,
    vectorization: Vectorization | None,
    wrappers: Sequence[Wrapper],
    env_args: dict[str, Any],
    timeout: float | None = None,
    info_keys: InfoKeys | None = None,
) -> VectorEnv[Any, Any, Any]:
    """Return the vector environment that the arguments of `GymAgent` describe."""
    if isinstance(env, VectorEnv):
        if n_envs not in (1, env.num_envs) or vectorization or wrappers or env_args:
            raise CompositionError("a vector environment brings its number of environments and all else with it.")
        return env if isinstance(env, AtariVector) else CheckedVector(env, info_keys)
    if isinstance(env, gym.Env):
        raise CompositionError(f"{env} is one environment; give its id, or a function that makes a new one.")
    if not isinstance(env, str) and not callable(env):
        raise CompositionError(
            f"env must be an environment's id, a function that makes a new one, or a vector environment, {env!r} "
            f"({type(env).__name__}) was given."
        )
    atari = isinstance(env, str) and env_args.get("atari") is not None
    if vectorization is None:
        vectorization = "vector_entry_point" if atari and not wrappers and "render_mode" not in env_args else "sync"
    if vectorization == "vector_entry_point":
        if not isinstance(env, str) or wrappers:
            raise CompositionError("vectorization='vector_entry_point' needs an environment's id, and no wrappers.")
        spec = make_env_spec(env)
        if spec.vector_entry_point is None and not atari:
            raise CompositionError(f"environment {env!r} has no vector entry point; use vectorization='sync'.")
        configure_headless_rendering()
        try:
            if atari:
                return make_atari_vector_env(spec, n_envs, **env_args)
            vector_env = gym.make_vec(spec, n_envs, vectorization_mode="vector_entry_point", **env_args)
            return CheckedVector(vector_env, info_keys)
        except (gym.error.DependencyNotInstalled, ImportError) as error:
            raise missing_simulator(env, error) from error
    if isinstance(env, str):
        make_env_spec(env)  # a wrong name is told before any process is started
        env = partial(_make_one, env, wrappers, env_args)
    elif wrappers or env_args:
        raise CompositionError("wrappers and env_args need an environment's id; a function must apply them itself.")
    if not auto_reset:
        env = partial(one_episode, env, info_keys)
    if vectorization == "sync":
        return SyncEnvs([env] * n_envs, info_keys)
    if vectorization == "async":
        return AsyncEnvs([env] * n_envs, timeout, info_keys)
    raise CompositionError(f"vectorization must be 'sync', 'async' or 'vector_entry_point', not {vectorization!r}.")


def _make_one(name: str, wrappers: Sequence[Wrapper], env_args: dict[str, Any]) -> gym.Env[Any, Any]:
    return make_env(name, [with_true_spaces, *wrappers], **_own(env_args))


def _own(arguments: Any) -> Any:
    """Return arguments whose lists and dictionaries are an environment's own: it may change them."""
    if type(arguments) is dict:
        return {key: _own(value) for key, value in arguments.items()}
    return [_own(value) for value in arguments] if type(arguments) is list else arguments
