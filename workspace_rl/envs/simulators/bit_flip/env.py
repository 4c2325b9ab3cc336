"""BitFlip-v0: flip bits one by one until they are as asked for."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from workspace_rl.envs.simulators.bit_flip.drawing import draw


class BitFlipEnv(gymnasium.Env[dict[str, Any], np.integer[Any] | int]):
    """Bits that are to be made as asked for by flipping one at a time, and a reward that only says whether they are.

    The task of Andrychowicz et al. 2017, "Hindsight Experience Replay" (arXiv:1707.01495), section 3.1: with many bits
    nobody ever gets another reward than -1 by chance, so that without hindsight nothing is learned.

    **Observation**, a dictionary of `n_bits` zeros and ones each: `observation` and `achieved_goal`, the bits, and
    `desired_goal`, those that are asked for.

    **Action**: the bit to flip, 0 .. `n_bits` - 1.

    **Reward**: 0 where all bits are as asked for, which terminates the episode, -1 elsewhere. So **the return of an
    episode is above `-n_bits` where they were, `-n_bits` where they were not**: the share of returns above it is the
    rate of success, which stands in `info["is_success"]`, too.

    **Limit**: an episode is truncated after `n_bits` steps. **Start**: bits and goal are uniform, and not the same.

    `compute_reward` and `compute_terminated` say the same of any bits and goal, and of many at once.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 4}  # type: ignore[misc]

    def __init__(self, *, n_bits: int = 15, render_mode: str | None = None) -> None:
        """Create the environment.

        Args:
            n_bits: How many bits, and steps of an episode, at least 1.
            render_mode: None; or "rgb_array", where `render` returns a picture.

        Raises:
            ValueError: An argument is none of these.
        """
        if not n_bits >= 1:
            raise ValueError(f"n_bits: at least 1 bit expected, {n_bits!r} found")
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode: None or 'rgb_array' expected, {render_mode!r} found")
        self.n_bits, self.render_mode = n_bits, render_mode
        names = ("observation", "achieved_goal", "desired_goal")
        self.observation_space = gymnasium.spaces.Dict({name: gymnasium.spaces.MultiBinary(n_bits) for name in names})
        self.action_space = gymnasium.spaces.Discrete(n_bits)
        self.bits, self.goal = np.zeros((2, n_bits), np.int8)
        """What the bits are, and what is asked for, each of shape (n_bits,)."""
        self.steps = -1
        """Steps of the episode so far; -1 where none runs."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seed of the random number generator; None continues with the present one.
            options: ``{"bits": [0, 1, ...], "goal": [1, 1, ...]}``, each instead of chance.

        Returns:
            The first observation, and ``{"is_success": False}``, unless the bits were put as they are asked for.
        """
        super().reset(seed=seed)
        given = options or {}
        self.bits = self.np_random.integers(2, size=self.n_bits, dtype=np.int8)
        self.goal = self.bits.copy()
        while (self.goal == self.bits).all():
            self.goal = self.np_random.integers(2, size=self.n_bits, dtype=np.int8)
        self.bits = np.array(given.get("bits", self.bits), np.int8)
        self.goal = np.array(given.get("goal", self.goal), np.int8)
        self.steps = 0
        return self._observation(), self._info()

    def step(self, action: np.integer[Any] | int) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Flip a bit.

        Args:
            action: Which one.

        Returns:
            Observation, reward, terminated, truncated, and ``{"is_success": whether all bits are as asked for}``.

        Raises:
            ValueError: There is no such bit.
            gymnasium.error.ResetNeeded: `reset` has not been called, or the episode is over.
        """
        if self.steps < 0:
            raise gymnasium.error.ResetNeeded("call reset() before step(), and after an episode")
        if not 0 <= action < self.n_bits:
            raise ValueError(f"the action must be 0 to {self.n_bits - 1}, got {action!r}")
        self.steps += 1
        self.bits[action] ^= 1
        info = self._info()
        terminated = info["is_success"]
        truncated = not terminated and self.steps >= self.n_bits
        if terminated or truncated:
            self.steps = -1
        return self._observation(), float(self.compute_reward(self.bits, self.goal, info)), terminated, truncated, info

    def compute_reward(self, achieved_goal: ArrayLike, desired_goal: ArrayLike, info: Any) -> NDArray[np.float32]:
        """Return the reward of bits where others are asked for.

        Args:
            achieved_goal: The bits, `[..., n_bits]`.
            desired_goal: Those that are asked for, `[..., n_bits]`.
            info: Of no use.

        Returns:
            0 or -1, `[...]`.
        """
        return np.asarray(self.compute_terminated(achieved_goal, desired_goal, info), np.float32) - np.float32(1)

    def compute_terminated(self, achieved_goal: ArrayLike, desired_goal: ArrayLike, info: Any) -> NDArray[np.bool_]:
        """Return whether bits (`[..., n_bits]`) are as asked for (`[..., n_bits]`), `[...]`."""
        return np.asarray((np.asarray(achieved_goal) == np.asarray(desired_goal)).all(-1))

    def render(self) -> NDArray[np.uint8] | None:
        """Draw the bits, those that are asked for below them, and what is wrong between.

        Returns:
            The picture, uint8 of shape (72, 24 * n_bits, 3).
        """
        if self.render_mode is None:
            gymnasium.logger.warn('render() draws nothing: create the environment with render_mode="rgb_array"')
            return None
        return draw(self.bits, self.goal)

    def _observation(self) -> dict[str, Any]:
        return {"observation": self.bits.copy(), "achieved_goal": self.bits.copy(), "desired_goal": self.goal.copy()}

    def _info(self) -> dict[str, Any]:
        return {"is_success": bool(self.compute_terminated(self.bits, self.goal, {}))}
