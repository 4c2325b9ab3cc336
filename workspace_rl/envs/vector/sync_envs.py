"""Environments that are stepped in this process, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import iterate

from workspace_rl.envs.contract.checks import (
    USUAL_TYPES,
    check_made,
    check_reset,
    check_reset_values,
    check_step,
    kept_info,
)
from workspace_rl.envs.contract.failures import fail, failure
from workspace_rl.envs.contract.infos import InfoKeys
from workspace_rl.envs.contract.observations import check_observation, limits
from workspace_rl.envs.contract.shared_environments import refuse_shared
from workspace_rl.envs.spaces.observations import space_leaves
from workspace_rl.errors import (
    EnvironmentContractError,
    EnvironmentFailedError,
    SharedEnvironmentError,
    WorkspaceRLError,
)


class SyncEnvs(SyncVectorEnv):
    """gymnasium's `SyncVectorEnv` in the mode `NEXT_STEP`, with less work for each environment.

    If an environment raises, or returns what it must not, this is told by an `EnvironmentFailedError` with its index.
    """

    def __init__(self, env_fns: Sequence[Callable[[], gym.Env[Any, Any]]], info_keys: InfoKeys | None = None) -> None:
        """Make the environments, of whose infos `info_keys` are passed on.

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
        #: The values of keys of infos, by name, and those keys, None if there are none.
        self._infos = (info_keys or InfoKeys()).batch(len(envs))
        self._info_keys = info_keys or None

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset all environments: number i from `seed[i]`, or from `seed + i`, or going on with its random numbers."""
        n = self.num_envs
        self._over = [False] * n
        seeds = [seed + i for i in range(n)] if isinstance(seed, int) else seed or [None] * n
        for i, (env, one) in enumerate(zip(self.envs, seeds, strict=True)):
            try:
                outcome = env.reset(seed=one, options=options)
                check_reset(outcome, self.single_observation_space)
                for leaf in self._leaves:
                    leaf.put(outcome[0], i)
                self._take_info(outcome[1], i)
            except (Exception, SystemExit) as error:
                fail(error, i)
        return self._observations, self._infos

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step all environments; those whose episode was over are reset instead."""
        n, over, leaves = self.num_envs, self._over, self._leaves
        # An observation is written where it belongs at once, since its environment may use its memory again.
        single = leaves[0]
        batch, shape, usual_dtype = single.batch, single.shape, single.usual_dtype if self._is_single else None
        named = self._info_keys
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
                if named is not None:
                    self._take_info(info, i)
        except (Exception, SystemExit) as error:
            self._fail(error, i, outcome)
        return self._observations, rewards, terminated, truncated, self._infos

    def _take_info(self, info: Any, i: int) -> None:
        for name, value in kept_info(info, self._info_keys).items():
            self._infos[name][i] = value

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
