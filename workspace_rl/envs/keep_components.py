"""A wrapper that hides components of a vector, as velocities, so that a task needs memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from workspace_rl.errors import ConfigError, UnsupportedSpaceError


class KeepComponents(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Shows some components of a vector and hides the others: `[0, 2]` of CartPole's hides both velocities.

    Named in a configuration as
    `gym_env.wrappers: [{classname: workspace_rl.envs.KeepComponents, components: [0, 2]}]`.
    """

    def __init__(self, env: gym.Env[Any, Any], components: Sequence[int]) -> None:
        """Keep `components` of the observation of `env`, in this order, counted from 0.

        Raises:
            UnsupportedSpaceError: observations are no vectors (a Box of one dimension).
            ConfigError: there is no such component, one is kept twice, or none is kept.
        """
        gym.utils.RecordConstructorArgs.__init__(self, components=components)
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1:
            raise UnsupportedSpaceError(
                f"KeepComponents: observations that are vectors expected, {space} found. "
                "gymnasium.wrappers.FlattenObservation before it makes a vector of other spaces."
            )
        size = space.shape[0]
        for one in components:
            if isinstance(one, bool) or not isinstance(one, int | np.integer) or not 0 <= one < size:
                raise ConfigError(
                    f"KeepComponents: components: whole numbers from 0 to {size - 1} expected, {one!r} found: "
                    f"the observation has {size} components."
                )
        if not len(components) or len(set(components)) < len(components):
            raise ConfigError(
                f"KeepComponents: components: at least one number, and each once, expected, {list(components)} found."
            )
        self._kept = np.array(components)
        self.observation_space = gym.spaces.Box(space.low[self._kept], space.high[self._kept], dtype=space.dtype.type)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; of the observation the kept components are returned."""
        observation, info = self.env.reset(seed=seed, options=options)
        return observation[self._kept], info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step; of the observation the kept components are returned."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation[self._kept], reward, terminated, truncated, info
