"""Pictures of a point mass and its goal, drawn with NumPy alone."""

import numpy as np
from numpy.typing import NDArray

#: Pixels along a side.
SIZE = 240

PLANE = (238, 234, 224)
GOAL = (126, 190, 120)
RING = (60, 120, 60)
POINT = (40, 96, 178)
TAIL = (160, 184, 214)


def draw(
    place: NDArray[np.float64], velocity: NDArray[np.float64], goal: NDArray[np.float64], radius: float
) -> NDArray[np.uint8]:
    """Return the picture of the plane from -1 to 1, uint8 `[SIZE, SIZE, 3]`; y is up.

    Args:
        place: where the point is, its x and its y.
        velocity: where it comes from is drawn by it.
        goal: where it is to be.
        radius: how near is near enough; a ring around the goal makes it easier to see.
    """
    middles = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    x, y = np.meshgrid(middles, -middles)
    picture = np.empty((SIZE, SIZE, 3), np.uint8)
    picture[:] = PLANE
    to_goal = np.hypot(x - goal[0], y - goal[1])
    picture[to_goal < radius] = GOAL
    picture[np.abs(to_goal - radius - 0.03) < 0.01] = RING
    for back in (3, 2, 1):
        before = place - back * velocity
        picture[np.hypot(x - before[0], y - before[1]) < 0.015] = TAIL
    picture[np.hypot(x - place[0], y - place[1]) < 0.03] = POINT
    return picture
