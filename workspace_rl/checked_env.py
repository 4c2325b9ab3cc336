"""One environment that is checked where others step it: in a process of its own, or in gymnasium's vector class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from workspace_rl.env_contract import check_made, check_observation, check_reset, check_step, failure, fitted, kept_info
from workspace_rl.env_facts import EnvironmentFacts, facts_of
from workspace_rl.errors import EnvironmentFailedError, WorkspaceRLError


class CheckedEnv(gym.Wrapper[Any, Any, Any, Any]):
    """Checks what an environment returns and passes it on in new arrays of the space's dtypes, without its info.

    What the environment raises becomes an error of the library, which can be sent between processes.
    """

    def __init__(self, env: gym.Env[Any, Any], index: int | None = None, *, keeps_info: bool = False) -> None:
        """Check environment number `index` of several; `keeps_info` where somebody reads infos."""
        check_made(env)
        super().__init__(env)
        self._index, self._keeps_info = index, keeps_info
        #: Called with what the environment raises when it is closed.
        self.on_close_failure: Callable[[EnvironmentFailedError], Any] = lambda error: None

    def __getattr__(self, name: str) -> Any:
        """Return what the environment has by this name, for whoever knows it."""
        if name.startswith("_") or name == "env":
            raise AttributeError(name)
        return getattr(self.env, name)

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment."""
        return self._checked(lambda: self._reset(options))  # type: ignore[no-any-return]

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment."""
        return self._checked(lambda: self._step(action))  # type: ignore[no-any-return]

    def render(self) -> Any:
        """Draw the environment."""
        return self._checked(self.env.render)

    def facts(self) -> EnvironmentFacts:
        """Return what is known of the environment."""
        return facts_of(self.env)

    def close(self) -> None:
        """Close the environment; that it raises meanwhile is no reason to end anything else."""
        try:
            self.env.close()
        except (Exception, SystemExit) as error:
            self.on_close_failure(failure(error, self._index))

    def _reset(self, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        outcome = self.env.reset(**options)
        check_reset(outcome, self.observation_space)
        observation, info = outcome
        return fitted(observation, self.observation_space), info if self._keeps_info else kept_info(info)

    def _step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        outcome: Any = self.env.step(action)
        check_step(outcome)
        observation, reward, terminated, truncated, info = outcome
        check_observation(observation, self.observation_space)
        # The flags may be arrays, too, whose memory may be used again.
        return (
            fitted(observation, self.observation_space),
            float(reward),
            bool(terminated),
            bool(truncated),
            info if self._keeps_info else kept_info(info),
        )

    def _checked(self, method: Callable[[], Any]) -> Any:
        try:
            return method()
        except (Exception, SystemExit) as error:
            raise sendable(error, self._index) from error


def sendable(error: BaseException, index: int | None = None) -> WorkspaceRLError:
    """Return the error as one of this library's, whose arguments are texts."""
    if isinstance(error, WorkspaceRLError) and not isinstance(error, EnvironmentFailedError):
        return error
    return failure(error, index)
