"""Pictures of bits and of those that are asked for, drawn with NumPy alone."""

import numpy as np
from numpy.typing import NDArray

#: Pixels along a bit's side; even, as films want it.
CELL = 24

GROUND = (52, 58, 70)
ZERO = (92, 100, 116)
ONE = (238, 234, 224)
WRONG = (214, 90, 70)


def draw(bits: NDArray[np.int8], goal: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Return the picture of bits `[n]`, and below those that are asked for, uint8 `[3 * CELL, n * CELL, 3]`.

    Between them stands what is wrong.
    """
    picture = np.empty((3 * CELL, len(bits) * CELL, 3), np.uint8)
    picture[:] = GROUND
    for column, (bit, asked) in enumerate(zip(bits, goal, strict=True)):
        for row, colour in (
            (0, ONE if bit else ZERO),
            (1, WRONG if bit != asked else GROUND),
            (2, ONE if asked else ZERO),
        ):
            picture[row * CELL + 2 : (row + 1) * CELL - 2, column * CELL + 2 : (column + 1) * CELL - 2] = colour
    return picture
