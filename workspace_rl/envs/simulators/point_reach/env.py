"""PointReach-v0: bring a point mass that cannot stop at once to a place in a plane."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from workspace_rl.envs.simulators.point_reach.drawing import draw

#: What is left of the velocity after a step, and what an action adds to it at most, in each direction.
KEPT, PUSH = 0.9, 0.01


class PointReachEnv(gymnasium.Env[dict[str, Any], NDArray[np.float32]]):
    """A point mass in a plane, which is to be brought to a goal, and a reward that only says whether it is there.

    **Observation**, a dictionary:

    - `observation`, float32 of shape (4,): place (x, y), and velocity in units of the greatest one.
    - `achieved_goal`, float32 of shape (2,): the place.
    - `desired_goal`, float32 of shape (2,): where it is to be.

    **Action**, float32 of shape (2,) in [-1, 1]: the push in x and y. The velocity becomes 0.9 times what it was plus
    0.01 times the push, and the place moves by it: so nobody goes faster than 0.1 in a step, or stops in one. Walls
    around the plane, which reaches from -1 to 1, take the velocity towards them.

    **Reward**: 0 where the place is within `radius` of the goal, which terminates the episode, -1 elsewhere. So the
    return of an episode is minus the steps in which the goal was not reached: **above `-max_steps` where it was
    reached, `-max_steps` where it was not**. The share of returns above `-max_steps` is the rate of success; it stands
    in `info["is_success"]`, too. Random actions reach the goal in 0.2 % of their episodes.

    **Limit**: an episode is truncated after `max_steps` steps. **Start**: place and goal are uniform, at least 0.5 from
    each other; the point rests.

    `compute_reward` and `compute_terminated` say the same of any place and goal, and of many at once.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 20}  # type: ignore[misc]

    def __init__(self, *, radius: float = 0.03, max_steps: int = 50, render_mode: str | None = None) -> None:
        """Create the environment.

        Args:
            radius: How near is near enough, more than 0 and at most 0.5.
            max_steps: Steps after which an episode is truncated, at least 1.
            render_mode: None; or "rgb_array", where `render` returns a picture.

        Raises:
            ValueError: An argument is none of these.
        """
        if not 0 < radius <= 0.5:
            raise ValueError(f"radius: more than 0 and at most 0.5 expected, {radius!r} found")
        if not max_steps >= 1:
            raise ValueError(f"max_steps: at least 1 step expected, {max_steps!r} found")
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode: None or 'rgb_array' expected, {render_mode!r} found")
        self.radius, self.max_steps, self.render_mode = radius, max_steps, render_mode
        place = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
        self.observation_space = gymnasium.spaces.Dict(
            observation=gymnasium.spaces.Box(-1, 1, (4,), np.float32), achieved_goal=place, desired_goal=place
        )
        self.action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
        self.place, self.velocity, self.goal = np.zeros((3, 2))
        """Where the point is, how far it moves in a step, and where it is to be, each of shape (2,)."""
        self.steps = -1
        """Steps of the episode so far; -1 where none runs."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seed of the random number generator; None continues with the present one.
            options: ``{"place": [x, y], "goal": [x, y]}``, each instead of chance.

        Returns:
            The first observation, and ``{"is_success": False}``, unless the point was put where its goal is.
        """
        super().reset(seed=seed)
        given = options or {}
        while True:
            self.place, self.goal = self.np_random.uniform(-1, 1, (2, 2))
            if np.hypot(*(self.place - self.goal)) >= 0.5:
                break
        self.place = np.array(given.get("place", self.place), np.float64)
        self.goal = np.array(given.get("goal", self.goal), np.float64)
        self.velocity, self.steps = np.zeros(2), 0
        observation = self._observation()
        return observation, self._info(observation)

    def step(self, action: ArrayLike) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Take a step.

        Args:
            action: The push, shape (2,); what is beyond [-1, 1] counts as its bound.

        Returns:
            Observation, reward, terminated, truncated, and ``{"is_success": whether the goal is reached}``.

        Raises:
            gymnasium.error.ResetNeeded: `reset` has not been called, or the episode is over.
        """
        if self.steps < 0:
            raise gymnasium.error.ResetNeeded("call reset() before step(), and after an episode")
        self.steps += 1
        self.velocity = KEPT * self.velocity + PUSH * np.clip(np.asarray(action, np.float64), -1, 1)
        moved = self.place + self.velocity
        self.place = np.clip(moved, -1, 1)
        self.velocity[self.place != moved] = 0
        observation = self._observation()
        info = self._info(observation)
        reward = float(self.compute_reward(observation["achieved_goal"], observation["desired_goal"], info))
        terminated = info["is_success"]
        truncated = not terminated and self.steps >= self.max_steps
        if terminated or truncated:
            self.steps = -1
        return observation, reward, terminated, truncated, info

    def compute_reward(self, achieved_goal: ArrayLike, desired_goal: ArrayLike, info: Any) -> NDArray[np.float32]:
        """Return the reward for being at a place where another one is the goal.

        Args:
            achieved_goal: The place, `[..., 2]`.
            desired_goal: The goal, `[..., 2]`.
            info: Of no use.

        Returns:
            0 or -1, `[...]`.
        """
        return np.asarray(self.compute_terminated(achieved_goal, desired_goal, info), np.float32) - np.float32(1)

    def compute_terminated(self, achieved_goal: ArrayLike, desired_goal: ArrayLike, info: Any) -> NDArray[np.bool_]:
        """Return whether a goal (`[..., 2]`) is reached at a place (`[..., 2]`), `[...]`."""
        away = np.asarray(achieved_goal, np.float64) - np.asarray(desired_goal, np.float64)
        return np.asarray(np.hypot(away[..., 0], away[..., 1]) <= self.radius)

    def render(self) -> NDArray[np.uint8] | None:
        """Draw the plane, the goal, and the point with where it comes from.

        Returns:
            The picture, uint8 of shape (240, 240, 3).
        """
        if self.render_mode is None:
            gymnasium.logger.warn('render() draws nothing: create the environment with render_mode="rgb_array"')
            return None
        return draw(self.place, self.velocity, self.goal, self.radius)

    def _observation(self) -> dict[str, Any]:
        speed = self.velocity * (1 - KEPT) / PUSH
        place = self.place.astype(np.float32)
        return {
            "observation": np.concatenate((place, speed.astype(np.float32))),
            "achieved_goal": place.copy(),
            "desired_goal": self.goal.astype(np.float32),
        }

    def _info(self, observation: dict[str, Any]) -> dict[str, Any]:
        reached = self.compute_terminated(observation["achieved_goal"], observation["desired_goal"], {})
        return {"is_success": bool(reached)}
