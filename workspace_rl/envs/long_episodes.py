"""Episodes that are played to their end, and do not come to one."""

from __future__ import annotations

import warnings

from workspace_rl.envs.facts import EnvironmentFacts

#: An episode that is as long is told of, where nothing is known to limit it.
LONG_EPISODE = 10_000
#: One that is as long counts as it stands.
LONGEST_EPISODE = 100_000


class LongEpisodes:
    """Watches over episodes that are played to their end, and tells of those that do not come to one."""

    def __init__(self, facts: EnvironmentFacts, environment: str, longest: int = LONGEST_EPISODE) -> None:
        """Watch episodes of `environment`; those of `longest` steps are over, unless it has a limit of its own."""
        self._unlimited, self._environment = facts.time_limit is None, environment
        self._told, self._longest = not self._unlimited, longest

    def is_too_long(self, n_steps: int) -> bool:
        """Return whether an episode that has had `n_steps` steps, and is not over, must not go on."""
        if n_steps >= LONG_EPISODE and not self._told:
            self._told = True
            warnings.warn(
                f"an episode of environment {self._environment} is not over after {n_steps:,} steps, and no time limit "
                f"is known. After {self._longest:,} steps it counts as it stands. Give episodes a limit: "
                "gym_env.max_episode_steps in a configuration, gymnasium.wrappers.TimeLimit in a program.",
                UserWarning,
                stacklevel=1,
            )
        return self._unlimited and n_steps >= self._longest
