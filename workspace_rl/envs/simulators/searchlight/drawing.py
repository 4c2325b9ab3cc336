"""Pictures of the searchlight and the ships around it, drawn with NumPy alone."""

import numpy as np
from numpy.typing import NDArray

#: Pixels along a side of the chart that is observed, and of the picture that is shown.
CHART, SHOWN = 8, 192

SEA = (24, 44, 74)
BEAM = (250, 236, 150)
TOWER = (238, 234, 224)
#: Of the ships.
COLOURS = ((226, 84, 70), (96, 190, 110), (90, 150, 240))


def chart(bearings: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return a chart of ships at these bearings (radians), uint8 `[3, CHART, CHART]`: a channel for each ship.

    East is right, north is up, and the searchlight in the middle.
    """
    across, up = _grid(CHART)
    x, y = (0.7 * f(bearings)[:, None, None] for f in (np.cos, np.sin))
    spots = np.exp(-((across - x) ** 2 + (up - y) ** 2) / (2 * 0.17**2))
    return np.round(255 * spots).astype(np.uint8)


def draw(bearings: NDArray[np.float64], light: float, asked: int) -> NDArray[np.uint8]:
    """Return the picture of the ships, the beam, and a ring around the ship that is asked for, `[SHOWN, SHOWN, 3]`."""
    across, up = _grid(SHOWN)
    picture = np.empty((SHOWN, SHOWN, 3), np.uint8)
    picture[:] = SEA
    away = np.abs(np.angle(np.exp(1j * (np.arctan2(up, across) - light))))
    distance = np.hypot(across, up)
    picture[(away < 0.12) & (distance < 0.95)] = BEAM
    for ship, bearing in enumerate(bearings):
        far = np.hypot(across - 0.7 * np.cos(bearing), up - 0.7 * np.sin(bearing))
        picture[far < 0.1] = COLOURS[ship]
        if ship == asked:
            picture[(far > 0.13) & (far < 0.17)] = TOWER
    picture[distance < 0.08] = TOWER
    return picture


def _grid(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the middles of pixels are, from -1 to 1: to the right, and up."""
    across, down = np.meshgrid(*2 * [(np.arange(size) + 0.5) / size * 2 - 1])
    return across, -down
