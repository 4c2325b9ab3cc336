"""Pictures of the T-maze, drawn with NumPy alone."""

import numpy as np
from numpy.typing import NDArray

#: Pixels along a cell's side; even, as films want it.
CELL = 32

WALL = (52, 58, 70)
FLOOR = (238, 234, 224)
REWARD = (126, 190, 120)
SIGN = (214, 120, 40)
WALKER = (40, 96, 178)


def draw(length: int, place: int, arm: int, sign: int, *, shows_sign: bool) -> NDArray[np.uint8]:
    """Return the picture of a maze, uint8 `[3 * CELL, (length + 1) * CELL, 3]`; north is up.

    Args:
        length: steps from the beginning of the corridor to the junction.
        place: steps of the walker from the beginning.
        arm: the arm where the walker is, 1 in the north and -1 in the south, 0 in the corridor.
        sign: the arm where the reward is.
        shows_sign: whether the sign is seen.
    """
    picture = np.empty((3 * CELL, (length + 1) * CELL, 3), np.uint8)
    picture[:] = WALL
    for column in range(length + 1):
        _cell(picture, 1, column)[:-1, :-1] = FLOOR  # but for a line between neighbours
    for one in (1, -1):
        _cell(picture, 1 - one, length)[:-1, :-1] = REWARD if one == sign else FLOOR
    across, down = np.meshgrid(*2 * [(np.arange(CELL) + 0.5) / CELL - 0.5])
    if shows_sign:  # beside the corridor, where it points
        width = 0.35 * (0.5 + sign * down)  # of a triangle at each height, its tip at the top where sign is 1
        _cell(picture, 1 - sign, 0)[(np.abs(across) < width) & (np.abs(down) < 0.4)] = SIGN
    _cell(picture, 1 - arm, place)[across**2 + down**2 < 0.3**2] = WALKER
    return picture


def _cell(picture: NDArray[np.uint8], row: int, column: int) -> NDArray[np.uint8]:
    return picture[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
