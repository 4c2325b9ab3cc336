"""Environments without auto-reset: each plays one episode and rests when it is over."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import gymnasium as gym

from workspace_rl.envs.contract.checks import check_made, check_step, kept_info
from workspace_rl.envs.contract.infos import InfoKeys


def one_episode(make: Callable[[], gym.Env[Any, Any]], info_keys: InfoKeys | None = None) -> gym.Env[Any, Any]:
    """Return `make()`, resting after its episode until a reset with a seed; of its infos, `info_keys` rest with it."""
    env = make()
    check_made(env)
    return _OneEpisode(env, info_keys)


class _OneEpisode(gym.Wrapper[Any, Any, Any, Any]):
    """Rests when its episode is over, until a reset with a seed: nobody looks at what would come next."""

    def __init__(self, env: gym.Env[Any, Any], info_keys: InfoKeys | None) -> None:
        super().__init__(env)
        self._last: Any = None
        self._last_info: dict[str, Any] = {}
        self._info_keys = info_keys

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is None and self._last is not None:  # the vector environment's own reset after an episode
            return self._last, self._last_info
        self._last = None
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._last is not None:
            return self._last, 0.0, True, False, self._last_info
        outcome: Any = self.env.step(action)
        check_step(outcome)
        observation, _, terminated, truncated, info = outcome
        if terminated or truncated:
            self._last_info = kept_info(info, self._info_keys)
            self._last = copy.deepcopy(observation)  # whose memory may be used again
        return outcome  # type: ignore[no-any-return]
