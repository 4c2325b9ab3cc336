"""TMaze-v0: walk down a corridor and turn where a sign at its beginning has pointed."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from workspace_rl.envs.simulators.t_maze.drawing import draw

NORTH, EAST, SOUTH, WEST = range(4)
#: What standing still in every step of an episode would cost.
COST_OF_STANDING_STILL = 0.5


class TMazeEnv(gymnasium.Env[NDArray[np.float32], np.integer[Any] | int]):
    """A corridor that ends in a junction; a sign that is seen at the first step alone says which arm is the right one.

    The task of Bakker, Reinforcement Learning with Long Short-Term Memory (2002), section 4.1. Whoever has forgotten
    the sign when the junction comes, `length` steps later, can only guess.

    **Observation**, float32 of shape (2,): the sign, 1 where it points north and -1 where it points south, at the first
    step alone, 0 ever after (coming back to the beginning does not help); and 1 in the junction, 0 elsewhere. All other
    places look alike.

    **Action**: 0 north, 1 east (along the corridor), 2 south, 3 west (back). A step into a wall leads nowhere.

    **Reward**: 1 for turning into the right arm, 0 for the other one, which both terminate the episode, and
    ``-0.5 / max_steps`` for each step that leads nowhere. So the best return is 1, and that of who does everything
    right but guesses where to turn 0.5 on average. **The return of an episode is above 0.5 where the right arm was
    taken, 0 or less everywhere else**: the share of returns above 0.5 is the share of right turns. Random actions
    return -0.14 on average where `length` is 10, and turn at all in 24 % of their episodes.

    **Limit**: an episode is truncated after `max_steps` steps. **Start**: the beginning of the corridor, `length` steps
    from the junction; both signs are equally likely.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 8}  # type: ignore[misc]

    def __init__(self, *, length: int = 10, max_steps: int | None = None, render_mode: str | None = None) -> None:
        """Create the environment.

        Args:
            length: Steps from the beginning of the corridor to the junction, at least 1.
            max_steps: Steps after which an episode is truncated, more than `length`; `10 * length` unless given.
            render_mode: None; or "rgb_array", where `render` returns a picture.

        Raises:
            ValueError: An argument is none of these.
        """
        max_steps = 10 * length if max_steps is None else max_steps
        if not length >= 1:
            raise ValueError(f"length: at least 1 step to the junction expected, {length!r} found")
        if not max_steps > length:
            raise ValueError(
                f"max_steps: more than {length!r} steps expected, {max_steps!r} found: it takes {length!r} to the "
                "junction, and one to turn"
            )
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode: None or 'rgb_array' expected, {render_mode!r} found")
        self.length, self.max_steps, self.render_mode = length, max_steps, render_mode
        low, high = np.array([-1.0, 0.0], np.float32), np.array([1.0, 1.0], np.float32)
        self.observation_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self.action_space = gymnasium.spaces.Discrete(4)
        self.sign = 0
        """1 where the arm in the north is the right one, -1 where that in the south is, 0 before the first `reset`."""
        self.place = 0
        """Steps from the beginning of the corridor."""
        self.arm = 0
        """The arm that was taken, 1 or -1 as in `sign`; 0 before that."""
        self.steps = 0
        """Steps of the episode so far."""
        self._cost = COST_OF_STANDING_STILL / max_steps

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seed of the random number generator; None continues with the present one.
            options: ``{"sign": 1}`` or ``{"sign": -1}`` gives the sign, instead of chance.

        Returns:
            The first observation, shape (2,), and an empty dictionary.

        Raises:
            ValueError: ``options["sign"]`` is neither 1 nor -1.
        """
        super().reset(seed=seed)
        sign = (options or {}).get("sign")
        if sign not in (None, 1, -1):
            raise ValueError(f'options["sign"]: 1 (north) or -1 (south) expected, {sign!r} found')
        self.sign = 2 * int(self.np_random.integers(2)) - 1 if sign is None else int(sign)
        self.place = self.steps = self.arm = 0
        return self._observation(), {}

    def step(self, action: np.integer[Any] | int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take a step.

        Args:
            action: 0 north, 1 east, 2 south, 3 west.

        Returns:
            Observation of shape (2,), reward, terminated, truncated, and an empty dictionary.

        Raises:
            ValueError: The action is none of these.
            gymnasium.error.ResetNeeded: `reset` has not been called, or the episode is over.
        """
        if self.sign == 0 or self.arm != 0:
            raise gymnasium.error.ResetNeeded("call reset() before step(), and after an episode")
        if not 0 <= action <= 3:
            raise ValueError(f"the action must be 0, 1, 2 or 3, got {action!r}")
        self.steps += 1
        reward, junction = 0.0, self.place == self.length
        if action == EAST and not junction:
            self.place += 1
        elif action == WEST and self.place > 0:
            self.place -= 1
        elif junction and action in (NORTH, SOUTH):
            self.arm = 1 if action == NORTH else -1
            reward = float(self.arm == self.sign)
        else:
            reward = -self._cost
        terminated = self.arm != 0
        return self._observation(), reward, terminated, not terminated and self.steps >= self.max_steps, {}

    def render(self) -> NDArray[np.uint8] | None:
        """Draw the maze, the walker, the sign while it is seen, and the arm where the reward is.

        Returns:
            The picture, uint8 of shape (96, 32 * (length + 1), 3).

        Raises:
            gymnasium.error.ResetNeeded: `reset` has not been called.
        """
        if self.render_mode is None:
            gymnasium.logger.warn('render() draws nothing: create the environment with render_mode="rgb_array"')
            return None
        if self.sign == 0:
            raise gymnasium.error.ResetNeeded("call reset() before render()")
        return draw(self.length, self.place, self.arm, self.sign, shows_sign=self.steps == 0)

    def _observation(self) -> NDArray[np.float32]:
        sign = self.sign if self.steps == 0 else 0
        # In an arm the walker is beyond the junction; nothing is decided there any more.
        return np.array([sign, self.place == self.length and self.arm == 0], dtype=np.float32)
