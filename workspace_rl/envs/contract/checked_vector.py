"""Vector environments of the user's own: what they must be and return, checked as for single environments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper

from workspace_rl.envs.contract.checked_env import CheckedEnv
from workspace_rl.envs.contract.checks import check_reset_values, check_step_values
from workspace_rl.envs.contract.failures import described
from workspace_rl.envs.contract.infos import InfoKeys
from workspace_rl.envs.contract.observations import check_observation, fitted
from workspace_rl.envs.contract.shared_environments import refuse_shared
from workspace_rl.errors import CompositionError, EnvironmentContractError

_BOOL = np.dtype(bool)


class CheckedVector(VectorWrapper[Any, Any, Any, Any, Any]):
    """A vector environment whose frames are checked and passed on in new arrays.

    They are in the dtypes of the spaces; rewards in float64, `terminated` and `truncated` in bool. Of infos nothing is
    passed on, unless somebody asks for keys of them, who is given all, and looks at what they hold.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], info_keys: InfoKeys | None = None) -> None:
        """Check what `env` says of itself; `info_keys` are those of infos that somebody asks for.

        Raises:
            CompositionError: it lacks a space or its number of environments, or its mode of resets is unknown.
            SharedEnvironmentError: two of its environments are the same object.
        """
        super().__init__(env)
        self._mode = _checked_description(env)
        self._space = env.single_observation_space
        # Of what an observation usually is, where it is one array.
        self._shape: tuple[int, ...] | None = None
        self._dtype: np.dtype[Any] | None = None
        if isinstance(self._space, gym.spaces.Box):
            self._shape, self._dtype = (env.num_envs, *self._space.shape), np.dtype(self._space.dtype)
        self._over = np.zeros(env.num_envs, dtype=bool)
        self._base: Any = env.unwrapped
        base = self._base
        # What wraps a vector environment may read its infos.
        self._listener = base is not env
        self._passes_infos = bool(info_keys)
        self._inner: list[CheckedEnv] | None = None
        envs = getattr(base, "envs", None)
        if isinstance(envs, list | tuple):
            refuse_shared(envs)
            plain = type(base).step is SyncVectorEnv.step and all(isinstance(one, gym.Env) for one in envs)
            if plain and len(envs) == env.num_envs:
                self._inner = [
                    CheckedEnv(one, index, info_keys=info_keys, keeps_info=self._listener)
                    for index, one in enumerate(envs)
                ]

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all environments."""
        outcome: Any = self._at_work(self.env.reset, seed=seed, options=options)
        check_reset_values(outcome, any_info=True)
        self._over = np.zeros(self.num_envs, dtype=bool)
        return self._observation(outcome[0]), outcome[1] if self._passes_infos else {}

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step all environments; those whose episode was over are reset instead."""
        outcome: Any = self._at_work(self.env.step, actions)
        check_step_values(outcome, any_info=True)
        observation, reward, terminated, truncated, info = outcome
        rewards = self._rewards(reward)
        ends, cut = self._flags("terminated", terminated), self._flags("truncated", truncated)
        self._check_resets(rewards, ends, cut)
        return self._observation(observation), rewards, ends, cut, info if self._passes_infos else {}

    def _observation(self, observation: Any) -> Any:
        if (
            observation.__class__ is np.ndarray
            and observation.shape == self._shape
            and observation.dtype is self._dtype
        ):
            return observation.copy()
        check_observation(observation, self._space, batch=(self.num_envs,))
        return fitted(observation, self._space)

    def _rewards(self, rewards: Any) -> np.ndarray:
        if rewards.__class__ is np.ndarray and rewards.shape == self._over.shape and rewards.dtype.kind == "f":
            return rewards.astype(np.float64)
        array = _as_array(rewards)
        if array.shape != self._over.shape or array.dtype.kind not in "biuf":
            raise EnvironmentContractError(
                f"its rewards must be real numbers of shape [{self.num_envs}], one for each environment, "
                f"{described(rewards)} found."
            )
        return array.astype(np.float64)

    def _flags(self, name: str, flags: Any) -> np.ndarray:
        if flags.__class__ is np.ndarray and flags.shape == self._over.shape and flags.dtype is _BOOL:
            return flags.copy()
        array = _as_array(flags)
        right = array.shape == self._over.shape and array.dtype.kind in "biuf"
        if not right or not ((array == 0) | (array == 1)).all():
            raise EnvironmentContractError(
                f"its {name!r} must be True or False for each environment, of shape [{self.num_envs}], "
                f"{described(flags)} found."
            )
        return array.astype(bool)

    def _check_resets(self, rewards: np.ndarray, ends: np.ndarray, cut: np.ndarray) -> None:
        """Where an episode was over, this step must have reset the environment, and nothing else."""
        over, self._over = self._over, ends | cut
        if self._mode is not AutoresetMode.NEXT_STEP or not np.count_nonzero(over):
            return
        if self._listener:  # a wrapper may have made another number of the 0 that a reset pays
            rewards[over] = 0
        wrong: np.ndarray = over & ((rewards != 0) | self._over)
        if wrong.any():
            index = int(np.flatnonzero(wrong)[0])
            error = EnvironmentContractError(
                "the step after an episode's end must only reset it (gymnasium's AutoresetMode.NEXT_STEP), with reward "
                f"0 and neither terminated nor truncated; reward {rewards[index]:g}, terminated {bool(ends[index])}, "
                f"truncated {bool(cut[index])} found. Is it reset in the same step already, or by nobody?"
            )
            error.index = index
            raise error

    def _at_work(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call a method of the vector environment, with its environments checked and their infos nobody's matter.

        Afterwards it is as its owner made it.
        """
        base, envs = self._base, None
        if self._inner is not None:
            envs, base.envs = base.envs, self._inner
        listened = self._listener or self._passes_infos
        base._add_info = partial(_add_what_fits, type(base)._add_info, base) if listened else _add_no_info
        try:
            return method(*args, **options)
        finally:
            if self._inner is not None:
                base.envs = envs
            del base._add_info


def _add_no_info(infos: dict[str, Any], info: Any, index: int) -> dict[str, Any]:
    return infos


def _add_what_fits(add: Callable[..., Any], base: Any, infos: dict[str, Any], info: Any, index: int) -> dict[str, Any]:
    """Add an environment's info to those of all, key by key, without what does not fit the others'."""
    for key, value in info.items():
        try:
            infos = add(base, infos, {key: value}, index)
        except Exception:  # whatever NumPy makes of it
            continue
    return infos


def _checked_description(env: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    """Check what a vector environment says of itself, and return its mode of resets."""
    name = type(env.unwrapped).__name__
    number = getattr(env, "num_envs", None)
    if not isinstance(number, int | np.integer) or number < 1:
        raise CompositionError(f"the vector environment {name} must say in num_envs how many it is, {number!r} found.")
    for attribute in ("single_observation_space", "single_action_space"):
        space = getattr(env, attribute, None)
        if not isinstance(space, gym.Space):
            raise CompositionError(
                f"the vector environment {name} must have a {attribute}, the space of one of its environments, "
                f"{described(space)} found."
            )
    mode = (getattr(env, "metadata", None) or {}).get("autoreset_mode", AutoresetMode.NEXT_STEP)
    try:
        return AutoresetMode(mode)
    except ValueError:
        known = ", ".join(str(one) for one in AutoresetMode)
        raise CompositionError(
            f"the vector environment {name} resets in the mode {mode!r} (metadata['autoreset_mode']), which is none of "
            f"{known}."
        ) from None


def _as_array(value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError):  # rows of different lengths; a tensor on another device
        return np.array(None)
