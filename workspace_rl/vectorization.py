"""Copies of an environment that are stepped together."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import concatenate, iterate

from workspace_rl.envs import make_env_spec, missing_simulator
from workspace_rl.envs.atari import make_atari_vector_env
from workspace_rl.errors import CompositionError
from workspace_rl.make_env import Wrapper, configure_headless_rendering, make_env

Vectorization = Literal["sync", "async", "vector_entry_point"]


def make_vector_env(
    env: str | Callable[[], gym.Env[Any, Any]] | VectorEnv[Any, Any, Any],
    n_envs: int,
    auto_reset: bool,
    vectorization: Vectorization | None,
    wrappers: Sequence[Wrapper],
    env_args: dict[str, Any],
) -> VectorEnv[Any, Any, Any]:
    """Return the vector environment that the arguments of `GymAgent` describe."""
    if isinstance(env, VectorEnv):
        if n_envs not in (1, env.num_envs) or vectorization or wrappers or env_args:
            raise CompositionError("a vector environment brings its number of environments and all else with it.")
        return env
    if isinstance(env, gym.Env):
        raise CompositionError(f"{env} is one environment; give its id, or a function that makes a new one.")
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
            return gym.make_vec(spec, n_envs, vectorization_mode="vector_entry_point", **env_args)
        except (gym.error.DependencyNotInstalled, ImportError) as error:
            raise missing_simulator(env, error) from error
    if isinstance(env, str):
        make_env_spec(env)  # a wrong name is told before any process is started
        env = partial(make_env, env, wrappers=wrappers, **env_args)
    elif wrappers or env_args:
        raise CompositionError("wrappers and env_args need an environment's id; a function must apply them itself.")
    if not auto_reset:
        env = partial(_one_episode, env)
    if vectorization == "sync":
        return SyncEnvs([env] * n_envs, copy=False, autoreset_mode=AutoresetMode.NEXT_STEP)
    if vectorization == "async":
        return AsyncVectorEnv([_Worker(env)] * n_envs, copy=False, autoreset_mode=AutoresetMode.NEXT_STEP)
    raise CompositionError(f"vectorization must be 'sync', 'async' or 'vector_entry_point', not {vectorization!r}.")


class SyncEnvs(SyncVectorEnv):
    """gymnasium's `SyncVectorEnv` in the mode `NEXT_STEP`, with less work for each environment."""

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Reset all environments."""
        self._over = [False] * self.num_envs
        return super().reset(**options)

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step all environments; those whose episode was over are reset instead."""
        n, over, batch = self.num_envs, self._over, self._observations
        # Arrays are written where they belong, observations of several parts are put together at the end.
        observations: Any = batch if isinstance(batch, np.ndarray) else self._env_obs
        infos: dict[str, Any] = {}
        rewards, terminated, truncated = np.zeros(n), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        for i, (env, action) in enumerate(zip(self.envs, iterate(self.action_space, actions), strict=True)):
            if over[i]:
                observations[i], info = env.reset()
                over[i] = False
            else:
                observations[i], rewards[i], ends, is_cut, info = env.step(action)
                if ends or is_cut:
                    terminated[i], truncated[i], over[i] = ends, is_cut, True
            if info:
                infos = self._add_info(infos, info, i)
        if observations is not batch:
            batch = self._observations = concatenate(self.single_observation_space, observations, batch)
        return batch, rewards, terminated, truncated, infos


class _OneEpisode(gym.Wrapper[Any, Any, Any, Any]):
    """Rests when its episode is over, until a reset with a seed: nobody looks at what would come next."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._last: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is None and self._last is not None:  # the vector environment's own reset after an episode
            return self._last, {}
        self._last = None
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._last is not None:
            return self._last, 0.0, True, False, {}
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            self._last = observation
        return observation, float(reward), terminated, truncated, info


def _one_episode(make: Callable[[], gym.Env[Any, Any]]) -> gym.Env[Any, Any]:
    return _OneEpisode(make())


class _Worker:
    """Makes an environment in a worker process, which leaves ctrl-C to the process that started it."""

    def __init__(self, make: Callable[[], gym.Env[Any, Any]]) -> None:
        self._make = make
        self._parent = os.getpid()

    def __call__(self) -> gym.Env[Any, Any]:
        if os.getpid() != self._parent:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return self._make()
