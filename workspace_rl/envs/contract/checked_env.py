"""One environment that is checked where others step it: in a process of its own, or in gymnasium's vector class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from workspace_rl.envs.contract.checks import check_made, check_reset, check_step, kept_info
from workspace_rl.envs.contract.failures import failure
from workspace_rl.envs.contract.infos import InfoKeys
from workspace_rl.envs.contract.observations import check_observation, fitted
from workspace_rl.envs.facts import EnvironmentFacts, facts_of
from workspace_rl.errors import EnvironmentFailedError, WorkspaceRLError


class CheckedEnv(gym.Wrapper[Any, Any, Any, Any]):
    """Checks what an environment returns and passes it on in new arrays of the space's dtypes.

    Of its infos, only what was asked for is passed on. What the environment raises becomes an error of the library,
    which can be sent between processes.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        index: int | None = None,
        *,
        info_keys: InfoKeys | None = None,
        keeps_info: bool = False,
    ) -> None:
        """Check environment number `index` of several; `keeps_info` where somebody reads whole infos."""
        check_made(env)
        super().__init__(env)
        self._index, self._info_keys, self._keeps_info = index, info_keys, keeps_info
        # Looked up through all wrappers, they would cost more than what is checked.
        self._space = env.observation_space
        self._shape: tuple[int, ...] | None = None
        self._dtype: np.dtype[Any] | None = None
        if isinstance(self._space, gym.spaces.Box):
            self._shape, self._dtype = self._space.shape, np.dtype(self._space.dtype)
        #: Called with what the environment raises when it is closed.
        self.on_close_failure: Callable[[EnvironmentFailedError], Any] = lambda error: None

    def __getattr__(self, name: str) -> Any:
        """Return what the environment has by this name, for whoever knows it."""
        if name.startswith("_") or name == "env":
            raise AttributeError(name)
        return getattr(self.env, name)

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment."""
        try:
            outcome = self.env.reset(**options)
            check_reset(outcome, self._space)
            observation, info = outcome
            return fitted(observation, self._space), self._kept(info)
        except (Exception, SystemExit) as error:
            raise sendable(error, self._index) from error

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment."""
        try:
            outcome: Any = self.env.step(action)
            check_step(outcome)
            observation, reward, terminated, truncated, info = outcome
            if (
                observation.__class__ is np.ndarray
                and observation.shape == self._shape
                and observation.dtype is self._dtype
            ):
                observation = observation.copy()
            else:
                check_observation(observation, self._space)
                observation = fitted(observation, self._space)
            # Rewards and flags may be arrays, too, whose memory may be used again.
            return observation, float(reward), bool(terminated), bool(truncated), self._kept(info)
        except (Exception, SystemExit) as error:
            raise sendable(error, self._index) from error

    def _kept(self, info: dict[str, Any]) -> dict[str, Any]:
        return info if self._keeps_info else kept_info(info, self._info_keys)

    def render(self) -> Any:
        """Draw the environment."""
        try:
            return self.env.render()
        except (Exception, SystemExit) as error:
            raise sendable(error, self._index) from error

    def facts(self) -> EnvironmentFacts:
        """Return what is known of the environment."""
        return facts_of(self.env)

    def close(self) -> None:
        """Close the environment; that it raises meanwhile is no reason to end anything else."""
        try:
            self.env.close()
        except (Exception, SystemExit) as error:
            self.on_close_failure(failure(error, self._index))


def sendable(error: BaseException, index: int | None = None) -> WorkspaceRLError:
    """Return the error as one of this library's, whose arguments are texts."""
    if isinstance(error, WorkspaceRLError) and not isinstance(error, EnvironmentFailedError):
        return error
    return failure(error, index)
