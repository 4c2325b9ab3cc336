"""Searchlight-v0: turn a searchlight to the ship that is asked for."""

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from workspace_rl.envs.simulators.searchlight.drawing import CHART, chart, draw

#: Ships around the searchlight.
N_SHIPS = 3
#: The parts of an observation.
PARTS = ("chart", "light", "ship")


class SearchlightEnv(gymnasium.Env[dict[str, Any], Any]):
    """A searchlight and three ships around it, one of which is asked for: the light is to be turned to it.

    **Observation**, a dictionary:

    - `chart`, uint8 of shape (3, 8, 8): where the ships are, a channel for each of them. The light is not on it.
    - `light`, float32 of shape (2,): the cosine and the sine of the light's bearing.
    - `ship`, 0, 1 or 2: the one that is asked for.

    **Action**: 0 stay, 1 turn left, 2 turn right, by `turn` radians; with `continuous`, one number in [-1, 1], the turn
    to the left in units of `turn`.

    **Reward**: by how much the turn has made the cosine of the angle between light and ship greater. So the return of
    an episode is the cosine at its end, at best 1, less that at its beginning.

    **Limit**: an episode is truncated after `max_steps` steps. **Start**: three bearings at equal angles, of which one
    is uniform; each ship is within 60 degrees of one of them, uniformly, in any order. The bearing of the light is
    uniform, too, and all ships are equally likely to be asked for. Ships stay where they are for the episode.

    **Every part is needed.** Bearings of the light are uniform whatever chart and ship are, and so are those of ships
    whatever the light's is: whoever does not see the chart, or the light, has a mean return of 0, as random actions
    have, whatever he does, and remembers. Who does not see which ship is asked for turns to the mean of all at best,
    for 0.30. The best mean return, that of `best_action`, is 0.99.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 8}  # type: ignore[misc]

    def __init__(
        self,
        *,
        continuous: bool = False,
        zero: Sequence[str] = (),
        turn: float = np.pi / 6,
        max_steps: int = 20,
        render_mode: str | None = None,
    ) -> None:
        """Create the environment.

        Args:
            continuous: Whether an action is a number instead of a choice.
            zero: Parts of the observation that are zeros, to see what they are needed for: of "chart", "light", "ship".
            turn: The angle that the light turns by in a step (at most), in radians.
            max_steps: Steps after which an episode is truncated, at least 1.
            render_mode: None; or "rgb_array", where `render` returns a picture.

        Raises:
            ValueError: An argument is none of these.
        """
        if isinstance(zero, str) or not set(zero) <= set(PARTS):
            raise ValueError(f"zero: a list of parts, of {', '.join(PARTS)}, expected, {zero!r} found")
        if not max_steps >= 1:
            raise ValueError(f"max_steps: at least 1 expected, {max_steps!r} found")
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode: None or 'rgb_array' expected, {render_mode!r} found")
        self.continuous, self.zero, self.turn, self.max_steps = continuous, tuple(zero), turn, max_steps
        self.render_mode = render_mode
        spaces = gymnasium.spaces
        self.observation_space = spaces.Dict(
            chart=spaces.Box(0, 255, (N_SHIPS, CHART, CHART), np.uint8),
            light=spaces.Box(-1, 1, (2,), np.float32),
            ship=spaces.Discrete(N_SHIPS),
        )
        self.action_space = spaces.Box(-1, 1, (1,), np.float32) if continuous else spaces.Discrete(3)
        self.bearings: NDArray[np.float64] | None = None
        """Of the ships, in radians, counted from the east to the left; None before the first `reset`."""
        self.light = 0.0
        """The light's bearing."""
        self.ship = 0
        """The ship that is asked for."""
        self.steps = 0
        """Steps of the episode so far."""
        self._chart = np.zeros((N_SHIPS, CHART, CHART), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seed of the random number generator; None continues with the present one.
            options: Not used.

        Returns:
            The first observation, and an empty dictionary.
        """
        super().reset(seed=seed)
        random = self.np_random
        first, self.light = random.uniform(0, 2 * np.pi, 2)
        places = random.permutation(N_SHIPS) + random.uniform(-0.5, 0.5, N_SHIPS)
        self.bearings = first + places * (2 * np.pi / N_SHIPS)
        self.ship, self.steps = int(random.integers(N_SHIPS)), 0
        if "chart" not in self.zero:
            self._chart = chart(self.bearings)
        return self._observation(), {}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Turn the light.

        Args:
            action: 0 stay, 1 left, 2 right; of shape (1,) in [-1, 1] with `continuous`.

        Returns:
            Observation, reward, terminated (never), truncated, and an empty dictionary.

        Raises:
            ValueError: The action is none of these.
            gymnasium.error.ResetNeeded: `reset` has not been called.
        """
        if self.bearings is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        if not self.action_space.contains(action):
            raise ValueError(f"an action of {self.action_space} expected, {action!r} found")
        before = np.cos(self.light - self.bearings[self.ship])
        self.light += self.turn * (float(action[0]) if self.continuous else (0, 1, -1)[int(action)])
        self.steps += 1
        reward = float(np.cos(self.light - self.bearings[self.ship]) - before)
        return self._observation(), reward, False, self.steps >= self.max_steps, {}

    def best_action(self) -> Any:
        """Return the action that brings the light nearest to the ship that is asked for.

        Raises:
            gymnasium.error.ResetNeeded: `reset` has not been called.
        """
        if self.bearings is None:
            raise gymnasium.error.ResetNeeded("call reset() before best_action()")
        left = float(np.angle(np.exp(1j * (self.bearings[self.ship] - self.light)))) / self.turn
        if self.continuous:
            return np.clip([left], -1, 1).astype(np.float32)
        return np.int64(0 if abs(left) <= 0.5 else 1 if left > 0 else 2)

    def render(self) -> NDArray[np.uint8] | None:
        """Draw the ships, the beam, and a ring around the ship that is asked for.

        Returns:
            The picture, uint8 of shape (192, 192, 3).

        Raises:
            gymnasium.error.ResetNeeded: `reset` has not been called.
        """
        if self.render_mode is None:
            gymnasium.logger.warn('render() draws nothing: create the environment with render_mode="rgb_array"')
            return None
        if self.bearings is None:
            raise gymnasium.error.ResetNeeded("call reset() before render()")
        return draw(self.bearings, self.light, self.ship)

    def _observation(self) -> dict[str, Any]:
        light = np.array([np.cos(self.light), np.sin(self.light)], np.float32)
        return {
            "chart": self._chart.copy(),
            "light": np.zeros(2, np.float32) if "light" in self.zero else light,
            "ship": np.int64(0 if "ship" in self.zero else self.ship),
        }
