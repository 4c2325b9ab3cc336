"""CartPoleSwingUp-v1: swing a hanging pole up by pushing the cart it hangs from, and hold it upright."""

import math
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from workspace_rl.envs.simulators.cartpole_swingup.drawing import Drawing
from workspace_rl.envs.simulators.cartpole_swingup.physics import (
    MAXIMUM_FORCE,
    TIME_STEP,
    TRACK_LIMIT,
    State,
    accelerations,
)


class CartPoleSwingUpEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.floating[Any]]]):
    """A cart on a track from which a pole hangs; the agent pushes the cart left and right to swing the pole up.

    **Observation**, float32 of shape (5,): position of the cart (m), its velocity (m/s), cosine and sine of the pole's
    angle (0 is up), angular velocity of the pole (rad/s).

    **Action**, float32 of shape (1,) in [-1, 1]: the force on the cart as a fraction of ``MAXIMUM_FORCE``; actions
    beyond these bounds are clipped.

    **Reward**, in [0, 1]: ``(1 + cos(angle)) / 2`` with the angle after the step. An episode of 500 steps, the limit of
    the registered environment, returns about 7 if nothing is done, about 27 with random actions, and about 400 where
    the pole is swung up in a second and held.

    **Termination**: the cart's position leaves [-2.4, 2.4] m. **Start**: every component of the state is drawn from a
    normal distribution of standard deviation 0.2 around the pole hanging at rest in the middle of the track.

    The time step is 0.01 s, so that 100 frames per second show the motion in real time. The state follows the explicit
    Euler method. These are the definitions of ``CartPoleSwingUp-v1`` in the package gym-cartpole-swingup.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["human", "rgb_array"],
        "render_fps": round(1.0 / TIME_STEP),
    }

    def __init__(self, *, render_mode: str | None = None) -> None:
        """Create the environment.

        Args:
            render_mode: None; "rgb_array", where `render` returns a picture; or "human", where every step is shown in a
                window, in real time.

        Raises:
            ValueError: `render_mode` is none of these.
        """
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode must be None, 'human' or 'rgb_array', got {render_mode!r}")
        self.render_mode = render_mode
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (5,), np.float32)
        self.state: State | None = None
        """Current state (see `State`), None before the first `reset`; it may be set, to simulate from there."""
        self._last_force = 0.0
        self._drawing: Drawing | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seed of the random number generator; None continues with the present one.
            options: ``{"state": (position, velocity, angle, angular velocity)}`` starts there instead of at random.

        Returns:
            The first observation, shape (5,), and an empty dictionary.

        Raises:
            ValueError: ``options["state"]`` is not four finite numbers.
        """
        super().reset(seed=seed)
        if options and "state" in options:
            state = np.asarray(options["state"], dtype=np.float64)
            if state.shape != (4,) or not np.isfinite(state).all():
                raise ValueError(f'options["state"] must be four finite numbers, got {options["state"]!r}')
        else:
            state = self.np_random.normal([0.0, 0.0, math.pi, 0.0], 0.2)
        position, velocity, angle, angular_velocity = state.tolist()
        self.state = (position, velocity, angle, angular_velocity)
        self._last_force = 0.0
        if self.render_mode == "human":
            self.render()
        return self._observation(), {}

    def step(self, action: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Push the cart for 0.01 s.

        Args:
            action: Force as a fraction of `MAXIMUM_FORCE`, shape (1,), clipped to [-1, 1].

        Returns:
            Observation of shape (5,), reward, terminated, truncated (always False: the limit of steps belongs to the
            registration), and an empty dictionary.

        Raises:
            ValueError: The action is not of shape (1,), or not a number.
            gymnasium.error.ResetNeeded: `reset` has not been called.
        """
        if self.state is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        position, velocity, angle, angular_velocity = self.state
        self._last_force = force = MAXIMUM_FORCE * _command(action)
        acceleration, angular_acceleration = accelerations(velocity, angle, angular_velocity, force)
        position += TIME_STEP * velocity
        velocity += TIME_STEP * acceleration
        angle += TIME_STEP * angular_velocity
        angular_velocity += TIME_STEP * angular_acceleration
        self.state = (position, velocity, angle, angular_velocity)
        reward = (1.0 + math.cos(angle)) / 2.0
        terminated = abs(position) > TRACK_LIMIT
        if self.render_mode == "human":
            self.render()
        return self._observation(), reward, terminated, False, {}

    def render(self) -> NDArray[np.uint8] | None:
        """Draw track, cart, pole, and the force of the last action as an arrow.

        Returns:
            In mode "rgb_array" the picture, uint8 of shape (304, 800, 3); in mode "human", which draws into its window,
            None.

        Raises:
            gymnasium.error.ResetNeeded: `reset` has not been called.
            gymnasium.error.DependencyNotInstalled: pygame is not installed.
        """
        if self.render_mode is None:
            gymnasium.logger.warn(
                'render() draws nothing: create the environment with render_mode="rgb_array" or "human"'
            )
            return None
        if self.state is None:
            raise gymnasium.error.ResetNeeded("call reset() before render()")
        if self._drawing is None:
            self._drawing = Drawing(window=self.render_mode == "human", frames_per_second=self.metadata["render_fps"])
        return self._drawing.draw(self.state, self._last_force)

    def close(self) -> None:
        """Close the window, if there is one. May be called more than once."""
        if self._drawing is not None:
            self._drawing.close()
            self._drawing = None

    def _observation(self) -> NDArray[np.float32]:
        if self.state is None:
            raise gymnasium.error.ResetNeeded("Call reset before asking for an observation.")
        position, velocity, angle, angular_velocity = self.state
        return np.array([position, velocity, math.cos(angle), math.sin(angle), angular_velocity], dtype=np.float32)


def _command(action: NDArray[np.floating[Any]]) -> float:
    """The single number of an action, clipped to [-1, 1]."""
    try:
        (component,) = action
        command = float(component)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the action must have shape (1,), got shape {np.shape(action)}") from error
    if -1.0 <= command <= 1.0:
        return command
    if math.isnan(command):
        raise ValueError(f"the action must be a number, got {action!r}")
    return math.copysign(1.0, command)
