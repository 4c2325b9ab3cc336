"""Pictures of the cart-pole, by pygame: in a window, or as arrays."""

import math
from typing import TYPE_CHECKING

import gymnasium
import numpy as np
from numpy.typing import NDArray

from workspace_rl.envs.simulators.cartpole_swingup.physics import MAXIMUM_FORCE, POLE_LENGTH, TRACK_LIMIT, State

if TYPE_CHECKING:
    import pygame

_Colour = tuple[int, int, int]
_Point = tuple[float, float]


class Drawing:
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
        """Open the window, if there is to be one.

        Raises:
            gymnasium.error.DependencyNotInstalled: pygame is not installed.
        """
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
        """Return the picture of a state and of a force (N), uint8 `[304, 800, 3]`; None where the window shows it."""
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
        """Close the window, if there is one."""
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
