"""CartPoleSwingUp-v1: swing a hanging pole up by pushing the cart it hangs from, and hold it upright."""

import math
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pygame

GRAVITY = 9.82
"""Gravitational acceleration, in m/s^2."""
CART_MASS = 0.5
"""Mass of the cart, in kg."""
POLE_MASS = 0.5
"""Mass of the pole, a uniform rod, in kg."""
POLE_LENGTH = 0.6
"""Length of the pole from hinge to tip, in m."""
FRICTION = 0.1
"""Friction between cart and track, in N s/m."""
MAXIMUM_FORCE = 10.0
"""Force on the cart at action 1, in N."""
TIME_STEP = 0.01
"""Duration of a step, in s."""
TRACK_LIMIT = 2.4
"""The episode terminates when the cart's position leaves [-TRACK_LIMIT, TRACK_LIMIT], in m."""

_TOTAL_MASS = CART_MASS + POLE_MASS
_POLE_MASS_LENGTH = POLE_MASS * POLE_LENGTH

State = tuple[float, float, float, float]
"""Position (m) and velocity (m/s) of the cart, angle (rad, 0 is up) and angular velocity (rad/s) of the pole."""


def accelerations(velocity: float, angle: float, angular_velocity: float, force: float) -> tuple[float, float]:
    r"""Accelerations of cart and pole, the equations of motion of the cart-pole.

    With total mass M, pole mass m, pole length L, friction b and force u,

    .. math::
        \ddot x = \frac{-2 m L \dot\theta^2 \sin\theta + 3 m g \sin\theta \cos\theta + 4 (u - b \dot x)}
                       {4 M - 3 m \cos^2\theta}, \qquad
        \ddot\theta = \frac{-3 m L \dot\theta^2 \sin\theta \cos\theta + 6 M g \sin\theta + 6 (u - b \dot x) \cos\theta}
                           {4 L M - 3 m L \cos^2\theta}

    as in Deisenroth, Efficient Reinforcement Learning using Gaussian Processes (2010), appendix C, with the angle
    measured from the upright position. The pole's tip is at :math:`(x - L \sin\theta, L \cos\theta)`.

    Args:
        velocity: Velocity of the cart, in m/s.
        angle: Angle of the pole, in rad, 0 is up, positive is counterclockwise.
        angular_velocity: Angular velocity of the pole, in rad/s.
        force: Force on the cart, in N, positive is to the right.

    Returns:
        The acceleration of the cart, in m/s^2, and the angular acceleration of the pole, in rad/s^2.
    """
    sine, cosine = math.sin(angle), math.cos(angle)
    centrifugal = _POLE_MASS_LENGTH * angular_velocity * angular_velocity * sine
    net_force = force - FRICTION * velocity
    denominator = 4.0 * _TOTAL_MASS - 3.0 * POLE_MASS * cosine * cosine
    cart = (-2.0 * centrifugal + 3.0 * POLE_MASS * GRAVITY * sine * cosine + 4.0 * net_force) / denominator
    pole = (-3.0 * centrifugal * cosine + 6.0 * _TOTAL_MASS * GRAVITY * sine + 6.0 * net_force * cosine) / (
        POLE_LENGTH * denominator
    )
    return cart, pole


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
        self._renderer: _Renderer | None = None

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
        if self._renderer is None:
            self._renderer = _Renderer(
                window=self.render_mode == "human", frames_per_second=self.metadata["render_fps"]
            )
        return self._renderer.draw(self.state, self._last_force)

    def close(self) -> None:
        """Close the window, if there is one. May be called more than once."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

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


_Colour = tuple[int, int, int]
_Point = tuple[float, float]


class _Renderer:
    """Draws the cart-pole at twice the size and scales the picture down, which smooths its edges."""

    WIDTH, HEIGHT = 800, 304
    OVERSAMPLING = 2
    METRE = 120.0
    TRACK_HEIGHT = 166.0
    CART_WIDTH, CART_HEIGHT = 60.0, 28.0
    ARROW_LENGTH = 72.0

    BACKGROUND: _Colour = (250, 250, 248)
    BEYOND: _Colour = (244, 236, 222)
    TRACK: _Colour = (120, 126, 136)
    LIMIT: _Colour = (196, 150, 70)
    CART: _Colour = (52, 73, 102)
    WHEEL: _Colour = (34, 40, 52)
    POLE: _Colour = (226, 160, 92)
    HINGE: _Colour = (245, 245, 245)
    FORCE: _Colour = (214, 48, 49)
    TEXT: _Colour = (84, 90, 100)

    def __init__(self, *, window: bool, frames_per_second: int) -> None:
        try:
            import pygame
        except ImportError as error:
            raise gymnasium.error.DependencyNotInstalled(
                'pygame is not installed, run `pip install "gymnasium[classic-control]"`'
            ) from error
        self._pygame = pygame
        self._frames_per_second = frames_per_second
        self._window: pygame.Surface | None = None
        self._clock: pygame.time.Clock | None = None
        if window:
            # Only a window needs the display: without it pictures are drawn where there is none, and without its
            # messages.
            pygame.display.init()
            pygame.display.set_caption("CartPoleSwingUp")
            self._window = pygame.display.set_mode((self.WIDTH, self.HEIGHT))
            self._clock = pygame.time.Clock()
        self._scenery = self._draw_scenery()

    def draw(self, state: State, force: float) -> NDArray[np.uint8] | None:
        pygame = self._pygame
        large = self._scenery.copy()
        self._draw_cart(large, state[0], force)
        self._draw_pole(large, state[0], state[2])
        picture = pygame.transform.smoothscale(large, (self.WIDTH, self.HEIGHT))
        self._draw_text(picture, state, force)
        if self._window is None:
            return np.ascontiguousarray(pygame.surfarray.array3d(picture).transpose(1, 0, 2))
        self._window.blit(picture, (0, 0))
        pygame.event.pump()
        pygame.display.flip()
        if self._clock is not None:
            self._clock.tick(self._frames_per_second)
        return None

    def close(self) -> None:
        if self._window is not None:
            self._pygame.display.quit()
            self._window = None

    def _draw_scenery(self) -> "pygame.Surface":
        """The motionless part of the picture: track, its scale in metres, and its limits."""
        size = (self.WIDTH * self.OVERSAMPLING, self.HEIGHT * self.OVERSAMPLING)
        surface = self._pygame.Surface(size, depth=32)
        surface.fill(self.BACKGROUND)
        rail = self.TRACK_HEIGHT
        self._line(surface, self.TRACK, (0.0, rail), (float(self.WIDTH), rail), 3.0)
        for metre in (-2, -1, 0, 1, 2):
            x = self._horizontal(metre)
            self._line(surface, self.TRACK, (x, rail), (x, rail + 8.0), 2.0)
            label = self._font(20 * self.OVERSAMPLING).render(f"{metre}", True, self.TRACK)
            surface.blit(label, (round(self._large(x)) - label.get_width() // 2, round(self._large(rail + 11.0))))
        for side in (-1.0, 1.0):
            x = self._horizontal(side * TRACK_LIMIT)
            beyond = 0.0 if side < 0 else float(self.WIDTH)
            left, width = min(x, beyond), abs(x - beyond)
            self._rectangle(surface, self.BEYOND, (left, 0.0, width, float(self.HEIGHT)), 0.0)
            self._line(surface, self.TRACK, (left, rail), (left + width, rail), 3.0)
            for top in range(0, self.HEIGHT, 12):
                self._line(surface, self.LIMIT, (x, float(top)), (x, top + 6.0), 2.0)
        return surface

    def _draw_cart(self, surface: "pygame.Surface", position: float, force: float) -> None:
        x = self._horizontal(position)
        top = self._hinge_height() - self.CART_HEIGHT / 2.0
        for side in (-1.0, 1.0):
            self._disc(surface, self.WHEEL, (x + side * 18.0, self.TRACK_HEIGHT - 8.0), 8.0)
            self._disc(surface, self.TRACK, (x + side * 18.0, self.TRACK_HEIGHT - 8.0), 3.0)
        self._rectangle(surface, self.CART, (x - self.CART_WIDTH / 2.0, top, self.CART_WIDTH, self.CART_HEIGHT), 7.0)
        self._draw_force(surface, x, force)

    def _draw_force(self, surface: "pygame.Surface", x: float, force: float) -> None:
        """An arrow from the side of the cart towards which the force points, as long as the force is large."""
        length = self.ARROW_LENGTH * abs(force) / MAXIMUM_FORCE
        if length < 1.0:
            return
        sign = math.copysign(1.0, force)
        y = self._hinge_height()
        tail = x + sign * (self.CART_WIDTH / 2.0 + 4.0)
        tip = tail + sign * length
        head = min(18.0, length)
        neck = tip - sign * head
        self._line(surface, self.FORCE, (tail, y), (neck + sign, y), 6.0)
        half = 0.58 * head
        self._polygon(surface, self.FORCE, [(tip, y), (neck, y - half), (neck, y + half)])

    def _draw_pole(self, surface: "pygame.Surface", position: float, angle: float) -> None:
        hinge = (self._horizontal(position), self._hinge_height())
        # The equations take positive angles counterclockwise; the picture's vertical axis points down.
        length = POLE_LENGTH * self.METRE
        tip = (hinge[0] - length * math.sin(angle), hinge[1] - length * math.cos(angle))
        self._line(surface, self.POLE, hinge, tip, 11.0)
        self._disc(surface, self.POLE, tip, 5.5)
        self._disc(surface, self.POLE, hinge, 5.5)
        self._disc(surface, self.HINGE, hinge, 2.5)

    def _draw_text(self, surface: "pygame.Surface", state: State, force: float) -> None:
        font = self._font(20)
        degrees = math.degrees(math.remainder(state[2], 2.0 * math.pi))
        texts = (f"position {state[0]:+.2f} m", f"angle {degrees:+.0f}°", f"force {force:+.1f} N")
        for centre, text, colour in zip((240, 400, 560), texts, (self.TEXT, self.TEXT, self.FORCE), strict=True):
            image = font.render(text, True, colour)
            surface.blit(image, (centre - image.get_width() // 2, self.HEIGHT - 24))

    def _font(self, size: int) -> "pygame.font.Font":
        # Not kept between frames: the close() of another environment may shut pygame down, and its fonts with it.
        self._pygame.font.init()
        return self._pygame.font.Font(None, size)

    def _horizontal(self, position: float) -> float:
        return self.WIDTH / 2.0 + self.METRE * position

    def _hinge_height(self) -> float:
        return self.TRACK_HEIGHT - 12.0 - self.CART_HEIGHT / 2.0

    def _polygon(self, surface: "pygame.Surface", colour: _Colour, corners: list[_Point]) -> None:
        points = [(self._large(x), self._large(y)) for x, y in corners]
        self._pygame.draw.polygon(surface, colour, points)
        # Filled polygons have whole pixels for corners, which shows as steps in a nearly upright pole.
        self._pygame.draw.aalines(surface, colour, True, points)

    def _line(self, surface: "pygame.Surface", colour: _Colour, start: _Point, end: _Point, width: float) -> None:
        """A thick line with straight ends, which pygame's own has only along the axes."""
        length = math.hypot(end[0] - start[0], end[1] - start[1]) or 1.0
        across_x = (start[1] - end[1]) / length * width / 2.0
        across_y = (end[0] - start[0]) / length * width / 2.0
        corners = [
            (start[0] + across_x, start[1] + across_y),
            (end[0] + across_x, end[1] + across_y),
            (end[0] - across_x, end[1] - across_y),
            (start[0] - across_x, start[1] - across_y),
        ]
        self._polygon(surface, colour, corners)

    def _disc(self, surface: "pygame.Surface", colour: _Colour, centre: _Point, radius: float) -> None:
        self._pygame.draw.circle(surface, colour, (self._large(centre[0]), self._large(centre[1])), self._large(radius))

    def _rectangle(
        self, surface: "pygame.Surface", colour: _Colour, box: tuple[float, float, float, float], corner: float
    ) -> None:
        left, top, width, height = (round(self._large(value)) for value in box)
        radius = round(self._large(corner))
        self._pygame.draw.rect(surface, colour, (left, top, width, height), border_radius=radius)

    def _large(self, value: float) -> float:
        return value * self.OVERSAMPLING
