"""How numbers become colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.colors import Colormap, Normalize

#: So many discrete actions have a tick each.
MOST_TICKS = 20


@dataclass(frozen=True)
class Scale:
    """How numbers become colours."""

    colours: Colormap
    norm: Normalize
    discrete: bool = False
    #: Discrete numbers that are few have a tick each; None leaves the ticks to matplotlib.
    ticks: Sequence[int] | None = None


def discrete_scale(values: np.ndarray, n: int | None) -> Scale:
    """Return a colour for each of the integers from 0 (or the least value) to `n` - 1 (or the greatest)."""
    from matplotlib.colors import BoundaryNorm

    least, most = min(int(values.min()), 0), max(int(values.max()), (n or 2) - 1)
    count = most - least + 1
    ticks = range(least, most + 1) if count <= MOST_TICKS else None
    norm = BoundaryNorm([least - 0.5 + k for k in range(count + 1)], count)
    return Scale(_colours("viridis").resampled(count), norm, True, ticks)


def signed_scale(values: np.ndarray) -> Scale:
    """Return colours around 0 for values of both signs and those within [-1, 1], plain ones for others."""
    from matplotlib.colors import Normalize

    low, high = _limits(values)
    limit = max(1.0, -low, high)
    if limit > 1 and low * high >= 0:
        return plain_scale(values)
    return Scale(_colours("RdBu_r"), Normalize(-limit, limit))


def plain_scale(values: np.ndarray) -> Scale:
    """Return colours from the least to the greatest value."""
    from matplotlib.colors import Normalize

    return Scale(_colours("viridis"), Normalize(*_limits(values)))


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Return the least and the greatest finite value."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def _colours(name: str) -> Colormap:
    """Return colours that colour-blind people can tell apart; what is not finite is grey."""
    import matplotlib

    return matplotlib.colormaps[name].with_extremes(bad="grey")
