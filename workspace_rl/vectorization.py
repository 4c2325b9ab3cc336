"""Copies of an environment that are stepped together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Literal, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import concatenate, iterate

from workspace_rl.env_contract import USUAL_TYPES, check_observation, check_reset, check_step, fail, first_misfit
from workspace_rl.envs import make_env_spec, missing_simulator
from workspace_rl.envs.atari import make_atari_vector_env
from workspace_rl.errors import CompositionError, EnvironmentFailedError, WorkspaceRLError
from workspace_rl.make_env import Wrapper, configure_headless_rendering, make_env
from workspace_rl.workers import AsyncEnvs

Vectorization = Literal["sync", "async", "vector_entry_point"]


def make_vector_env(
    env: str | Callable[[], gym.Env[Any, Any]] | VectorEnv[Any, Any, Any],
    n_envs: int,
    auto_reset: bool,
    vectorization: Vectorization | None,
    wrappers: Sequence[Wrapper],
    env_args: dict[str, Any],
    timeout: float | None = None,
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
        return SyncEnvs([env] * n_envs)
    if vectorization == "async":
        return AsyncEnvs([env] * n_envs, timeout)
    raise CompositionError(f"vectorization must be 'sync', 'async' or 'vector_entry_point', not {vectorization!r}.")


class SyncEnvs(SyncVectorEnv):
    """gymnasium's `SyncVectorEnv` in the mode `NEXT_STEP`, with less work for each environment.

    If an environment raises, or returns what it must not, this is told by an `EnvironmentFailedError` with its index.
    """

    def __init__(self, env_fns: Sequence[Callable[[], gym.Env[Any, Any]]]) -> None:
        """Make the environments."""
        with ExitStack() as undo:
            envs: list[gym.Env[Any, Any]] = []
            for make in env_fns:
                try:
                    envs.append(_without_order_enforcing(make()))
                except WorkspaceRLError:
                    raise
                except (Exception, SystemExit) as error:
                    fail(error, len(envs))
                undo.callback(envs[-1].close)
            super().__init__([iter(envs).__next__] * len(envs), copy=False, autoreset_mode=AutoresetMode.NEXT_STEP)
            undo.pop_all()
        #: Of an observation that has been looked at and found right.
        self._usual_dtype: Any = None

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset all environments: number i from `seed[i]`, or from `seed + i`, or going on with its random numbers."""
        n, infos = self.num_envs, dict[str, Any]()
        self._over = [False] * n
        seeds = [seed + i for i in range(n)] if isinstance(seed, int) else seed or [None] * n
        for i, (env, one) in enumerate(zip(self.envs, seeds, strict=True)):
            try:
                outcome = env.reset(seed=one, options=options)
                check_reset(outcome, self.single_observation_space)
            except (Exception, SystemExit) as error:
                fail(error, i)
            self._env_obs[i], info = outcome
            infos = self._add_info(infos, info, i)
        self._observations = concatenate(self.single_observation_space, self._env_obs, self._observations)
        return self._observations, infos

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step all environments; those whose episode was over are reset instead."""
        n, over, batch = self.num_envs, self._over, self._observations
        # Arrays are written where they belong, observations of several parts are put together at the end.
        in_place = isinstance(batch, np.ndarray)
        observations: Any = batch if in_place else self._env_obs
        shape = self.single_observation_space.shape
        infos: dict[str, Any] = {}
        rewards, terminated, truncated = np.zeros(n), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        i = 0
        outcome: Any = None
        try:
            for i, (env, action) in enumerate(zip(self.envs, iterate(self.action_space, actions), strict=True)):
                outcome = None
                if over[i]:
                    outcome = env.reset()
                    check_reset(outcome, self.single_observation_space)
                    observations[i], info = outcome
                    over[i] = False
                else:
                    outcome = env.step(action)
                    observation, reward, ends, is_cut, info = outcome
                    if in_place and (
                        observation.__class__ is not np.ndarray
                        or observation.shape != shape
                        or observation.dtype is not self._usual_dtype
                    ):
                        check_observation(observation, self.single_observation_space)
                        self._usual_dtype = getattr(observation, "dtype", None)
                    observations[i] = observation
                    plain = ends is False and is_cut is False and type(reward) is float
                    if not plain and (type(reward), type(ends), type(is_cut), type(info)) not in USUAL_TYPES:
                        check_step(outcome)
                    rewards[i] = reward
                    if ends or is_cut:
                        terminated[i], truncated[i], over[i] = ends, is_cut, True
                if info:
                    infos = self._add_info(infos, info, i)
            i, outcome = -1, None
            if not in_place:
                self._observations = concatenate(self.single_observation_space, observations, batch)
        except (Exception, SystemExit) as error:
            self._fail(error, i, outcome)
        return self._observations, rewards, terminated, truncated, infos

    def _fail(self, error: BaseException, i: int, outcome: Any) -> NoReturn:
        """Raise what went wrong in environment `i`, or in putting all observations together where i is -1."""
        if i == -1:
            raise first_misfit(self._env_obs, self.single_observation_space) or error
        if outcome is not None and not self._over[i]:
            try:
                check_step(outcome)
            except EnvironmentFailedError as broken:
                error = broken
        fail(error, i)

    def close_extras(self, **options: Any) -> None:
        """Close all environments, also where one of them raises while it is closed."""
        with ExitStack() as stack:
            for env in self.envs:
                stack.callback(env.close)


def _without_order_enforcing(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Take away the wrapper that looks at every step whether there was a reset: here there always was one."""
    if isinstance(env, gym.wrappers.OrderEnforcing):
        return _without_order_enforcing(env.env)
    outer = env
    while isinstance(outer, gym.Wrapper):
        if isinstance(outer.env, gym.wrappers.OrderEnforcing):
            outer.env = outer.env.env
        else:
            outer = outer.env
    return env


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
        outcome: Any = self.env.step(action)
        check_step(outcome)
        observation, _, terminated, truncated, _ = outcome
        if terminated or truncated:
            self._last = observation
        return outcome  # type: ignore[no-any-return]


def _one_episode(make: Callable[[], gym.Env[Any, Any]]) -> gym.Env[Any, Any]:
    return _OneEpisode(make())
