"""Copies of an environment that are stepped together."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Literal, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import iterate

from workspace_rl.envs.contract.environment import (
    USUAL_TYPES,
    check_made,
    check_observation,
    check_reset,
    check_reset_values,
    check_step,
    fail,
    failure,
    kept_info,
    limits,
)
from workspace_rl.envs.contract.shared_environments import refuse_shared
from workspace_rl.envs.contract.vector import CheckedVector
from workspace_rl.envs.make_env import Wrapper, configure_headless_rendering, make_env, with_true_spaces
from workspace_rl.envs.providers import make_env_spec, missing_simulator
from workspace_rl.envs.simulators.atari import AtariVector, make_atari_vector_env
from workspace_rl.envs.spaces.observations import space_leaves
from workspace_rl.envs.vector.workers import AsyncEnvs
from workspace_rl.errors import (
    CompositionError,
    EnvironmentContractError,
    EnvironmentFailedError,
    SharedEnvironmentError,
    WorkspaceRLError,
)

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
        return env if isinstance(env, AtariVector) else CheckedVector(env)
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
            return CheckedVector(gym.make_vec(spec, n_envs, vectorization_mode="vector_entry_point", **env_args))
        except (gym.error.DependencyNotInstalled, ImportError) as error:
            raise missing_simulator(env, error) from error
    if isinstance(env, str):
        make_env_spec(env)  # a wrong name is told before any process is started
        env = partial(_make_one, env, wrappers, env_args)
    elif wrappers or env_args:
        raise CompositionError("wrappers and env_args need an environment's id; a function must apply them itself.")
    if not auto_reset:
        env = partial(_one_episode, env)
    if vectorization == "sync":
        return SyncEnvs([env] * n_envs)
    if vectorization == "async":
        return AsyncEnvs([env] * n_envs, timeout)
    raise CompositionError(f"vectorization must be 'sync', 'async' or 'vector_entry_point', not {vectorization!r}.")


def _make_one(name: str, wrappers: Sequence[Wrapper], env_args: dict[str, Any]) -> gym.Env[Any, Any]:
    return make_env(name, [with_true_spaces, *wrappers], **_own(env_args))


def _own(arguments: Any) -> Any:
    """Return arguments whose lists and dictionaries are an environment's own: it may change them."""
    if type(arguments) is dict:
        return {key: _own(value) for key, value in arguments.items()}
    return [_own(value) for value in arguments] if type(arguments) is list else arguments


class SyncEnvs(SyncVectorEnv):
    """gymnasium's `SyncVectorEnv` in the mode `NEXT_STEP`, with less work for each environment.

    If an environment raises, or returns what it must not, this is told by an `EnvironmentFailedError` with its index.
    """

    def __init__(self, env_fns: Sequence[Callable[[], gym.Env[Any, Any]]]) -> None:
        """Make the environments.

        Raises:
            SharedEnvironmentError: two of them are the same object.
            UnsupportedSpaceError: their observations hold what is no array.
            EnvironmentFailedError: making one raised an exception.
        """
        #: What environments raised when they were closed.
        self.close_failures: list[EnvironmentFailedError] = []
        self.envs: list[gym.Env[Any, Any]] = []
        with ExitStack() as undo:
            undo.callback(self.close_extras)
            for index, make in enumerate(env_fns):
                try:
                    env = make()
                    check_made(env)
                    self.envs.append(_without_order_enforcing(env))
                    _check_same_spaces(env, self.envs[0])
                except (Exception, SystemExit) as error:
                    if isinstance(error, WorkspaceRLError) and not isinstance(error, EnvironmentFailedError):
                        raise
                    fail(error, index)
            try:
                refuse_shared(self.envs)
            except SharedEnvironmentError:
                undo.pop_all()  # they were not made here, and somebody may go on with them
                raise
            envs, leaves = self.envs, space_leaves(self.envs[0].observation_space, "env_obs")
            super().__init__([iter(envs).__next__] * len(envs), copy=False, autoreset_mode=AutoresetMode.NEXT_STEP)
            undo.pop_all()
        self._leaves = [_Leaf(space, pick, self._observations) for space, pick in leaves.values()]
        self._is_single = isinstance(self._observations, np.ndarray)

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
                for leaf in self._leaves:
                    leaf.put(outcome[0], i)
            except (Exception, SystemExit) as error:
                fail(error, i)
            infos = self._add_info(infos, kept_info(outcome[1]), i)
        return self._observations, infos

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step all environments; those whose episode was over are reset instead."""
        n, over, leaves = self.num_envs, self._over, self._leaves
        # An observation is written where it belongs at once, since its environment may use its memory again.
        single = leaves[0]
        batch, shape, usual_dtype = single.batch, single.shape, single.usual_dtype if self._is_single else None
        infos: dict[str, Any] = {}
        rewards, terminated, truncated = np.zeros(n), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        i = 0
        outcome: Any = None
        try:
            for i, (env, action) in enumerate(zip(self.envs, iterate(self.action_space, actions), strict=True)):
                outcome = None
                begins = over[i]
                if begins:
                    outcome = env.reset()
                    check_reset_values(outcome)
                    observation, info = outcome
                else:
                    outcome = env.step(action)
                    observation, reward, ends, is_cut, info = outcome
                if (
                    observation.__class__ is np.ndarray
                    and observation.shape == shape
                    and observation.dtype is usual_dtype
                ):
                    batch[i] = observation  # the short way
                else:
                    if begins:
                        check_observation(observation, self.single_observation_space)
                    for leaf in leaves:
                        leaf.put(observation, i)
                if begins:
                    over[i] = False
                else:
                    plain = ends is False and is_cut is False and type(reward) is float and type(info) is dict
                    if not plain and (type(reward), type(ends), type(is_cut), type(info)) not in USUAL_TYPES:
                        check_step(outcome)
                    rewards[i] = reward
                    if ends or is_cut:
                        terminated[i], truncated[i], over[i] = ends, is_cut, True
                if info:
                    infos = self._add_info(infos, kept_info(info), i)
        except (Exception, SystemExit) as error:
            self._fail(error, i, outcome)
        return self._observations, rewards, terminated, truncated, infos

    def _fail(self, error: BaseException, i: int, outcome: Any) -> NoReturn:
        """Raise what went wrong in environment `i`: that it broke the contract, if that is what `outcome` shows."""
        if outcome is not None and not self._over[i]:
            try:
                check_step(outcome)
                check_observation(outcome[0], self.single_observation_space)
            except EnvironmentFailedError as broken:
                error = broken
        fail(error, i)

    def close_extras(self, **options: Any) -> None:
        """Close all environments, also where one of them raises while it is closed (see `close_failures`)."""
        for i, env in enumerate(self.envs):
            try:
                env.close()
            except (Exception, SystemExit) as error:
                self.close_failures.append(failure(error, i))


_WHOLE: frozenset[Any] = frozenset({int, np.int64, np.int32})


class _Leaf:
    """Where a leaf of all environments' observations stands."""

    __slots__ = ("batch", "least", "most", "pick", "shape", "space", "usual_dtype")

    def __init__(self, space: gym.Space[Any], pick: Callable[[Any], Any], observations: Any) -> None:
        self.space, self.pick, self.batch = space, pick, pick(observations)
        self.shape = space.shape
        #: Another dtype of which every number is right here, if one has been met.
        self.usual_dtype: Any = np.dtype(space.dtype)
        # Of whole numbers, one for each environment; no number is among them elsewhere.
        single = isinstance(space, gym.spaces.Discrete)
        self.least, self.most = limits(self.usual_dtype) if single else (1, 0)

    def put(self, observation: Any, i: int) -> None:
        """Write the leaf of the observation of environment `i`.

        Raises:
            EnvironmentContractError: it does not fit the space.
        """
        value: Any = self.pick(observation)
        if value.__class__ in _WHOLE and self.least <= value <= self.most:
            self.batch[i] = value
            return
        if value.__class__ is not np.ndarray or value.shape != self.shape or value.dtype is not self.usual_dtype:
            check_observation(value, self.space)
            dtype = getattr(value, "dtype", None)
            if isinstance(dtype, np.dtype) and (dtype.kind == "f" or np.can_cast(dtype, self.space.dtype)):
                self.usual_dtype = dtype
            value = np.asarray(value)
        self.batch[i] = value


def _check_same_spaces(env: gym.Env[Any, Any], first: gym.Env[Any, Any]) -> None:
    for name in ("observation_space", "action_space"):
        found, expected = getattr(env, name), getattr(first, name)
        if found != expected:
            raise EnvironmentContractError(
                f"its {name} is {found}, that of environment 0 is {expected}; all must have the same, since they are "
                "stepped together. Let the function that makes them give them equal spaces."
            )


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
            self._last = copy.deepcopy(observation)  # whose memory may be used again
        return outcome  # type: ignore[no-any-return]


def _one_episode(make: Callable[[], gym.Env[Any, Any]]) -> gym.Env[Any, Any]:
    env = make()
    check_made(env)
    return _OneEpisode(env)
