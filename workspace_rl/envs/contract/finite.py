"""NaN and infinity in what environments return, found at a cost that does not count."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from workspace_rl.envs.spaces.observations import space_leaves

#: Where squares sum up to more than this, a number may be infinite as float32.
SQUARED_LIMIT = np.float64(np.finfo(np.float32).max) ** 2


class NonFinite(NamedTuple):
    """The first number that is not finite: its variable, its environment, and what it is."""

    variable: str
    environment: int
    #: Its place in the variable's array of one environment.
    component: list[int]
    value: float


class FiniteCheck:
    """Finds numbers that are not finite, or would not be as float32, in observations and rewards.

    Only where a scalar product says that there may be one, a closer look is taken: the product takes a quarter of the
    time of `numpy.isfinite(...).all()`. Integers are not looked at.
    """

    def __init__(self, space: gym.Space[Any], n_envs: int, name: str, *, observations: bool = True) -> None:
        """Look at rewards and, with `observations`, at the leaves of an observation space called `name`."""
        leaves = space_leaves(space, name) if observations else {}
        self._picks = {leaf: pick for leaf, (part, pick) in leaves.items() if np.issubdtype(part.dtype, np.floating)}
        #: Whether they are float64, and zeros as many as their numbers: only NaN and infinity, times 0, are not 0.
        self._plan = [
            (
                pick,
                leaves[leaf][0].dtype == np.float64,
                np.zeros(n_envs * _size(leaves[leaf][0]), leaves[leaf][0].dtype),
            )
            for leaf, pick in self._picks.items()
        ]

    def first_bad(self, observation: Any, reward: np.ndarray, ignored: np.ndarray | None = None) -> NonFinite | None:
        """Return the first number that is not finite, None if all are.

        Args:
            observation: of all environments, as a vector environment gives it.
            reward: `[B]`.
            ignored: `[B]`, environments that are not looked at.
        """
        try:
            for pick, double, zeros in self._plan:
                numbers = pick(observation).ravel()
                if not (numbers.dot(numbers) < SQUARED_LIMIT if double else numbers.dot(zeros) == 0):
                    break
            else:
                if reward.dot(reward) < SQUARED_LIMIT:
                    return None
        except RuntimeWarning:  # what NumPy says to infinity, where warnings are errors
            pass
        return self._closer(observation, reward, ignored)

    def _closer(self, observation: Any, reward: np.ndarray, ignored: np.ndarray | None) -> NonFinite | None:
        arrays = {name: pick(observation) for name, pick in self._picks.items()} | {"reward": reward}
        for name, array in arrays.items():
            with np.errstate(over="ignore"):
                bad = ~np.isfinite(array.astype(np.float32))
            if ignored is not None:
                bad[ignored] = False
            if bad.any():
                index, *component = (int(place) for place in np.argwhere(bad)[0])
                return NonFinite(name, index, component, float(array[(index, *component)]))
        return None


def _size(space: gym.Space[Any]) -> int:
    return int(np.prod(space.shape or ()))
