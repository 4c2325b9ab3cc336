"""A cut through an observation space along one or two coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from workspace_rl.errors import ConfigError, UnsupportedSpaceError

#: A bound of the observation space that is greater than this counts as infinite.
LARGEST_BOUND = 1e6
#: So many fixed coordinates are named one by one below a picture's title.
MOST_NAMED = 12

Ranges = Mapping[int, tuple[float, float]]


class Section:
    """A cut through an observation space along one or two coordinates, the others being fixed.

    It has `axes`, the indices of the coordinates, with an interval (`ranges`) and a text (`labels`) each, `values`
    (`[size]`), those of the fixed coordinates, and `subtitle`, which says so.
    """

    def __init__(
        self,
        space: gym.Space[Any],
        axes: Sequence[int] | None,
        ranges: Ranges | None,
        fixed: Mapping[int, float] | None,
        names: Sequence[str] | None,
        resolution: int,
    ) -> None:
        box = _vectors(space)
        size = box.shape[0]
        ranges, fixed = ranges or {}, fixed or {}
        _check(size, ranges, fixed, names, resolution)
        names = [f"observation[{index}]" for index in range(size)] if names is None else names
        self.resolution = resolution
        self.axes = _check_axes(axes, size)
        # What the observations will be: float64 becomes float32, as in GymAgent.
        self.dtype = np.dtype(np.float32) if box.dtype == np.float64 else box.dtype
        first, last, self.values, bounded = _shown(box)
        for index, value in fixed.items():
            self.values[index] = value
        self.ranges: list[tuple[float, float]] = []
        self.labels: list[str] = []
        for index in self.axes:
            least, most = ranges.get(index, (first[index], last[index]))
            if not least < most:
                raise ConfigError(f"ranges: low < high expected for coordinate {index}; {least}, {most} found.")
            self.ranges.append((float(least), float(most)))
            note = "" if index in ranges or bounded[index] else f" (unbounded, shown from {least:g} to {most:g})"
            self.labels.append(names[index] + note)
        self.subtitle = self._subtitle(names, fixed)

    def _subtitle(self, names: Sequence[str], fixed: Mapping[int, float]) -> str:
        others = [index for index in range(len(names)) if index not in self.axes]
        named = others if len(others) <= MOST_NAMED else [index for index in others if index in fixed][:MOST_NAMED]
        parts = [f"{names[index]} = {self.values[index]:.4g}" for index in named]
        if len(named) < len(others):
            parts.append(f"{len(others) - len(named)} {'more' if named else 'coordinates'}")
        return f"fixed: {', '.join(parts)}" if others else ""

    def points(self, axis: int) -> np.ndarray:
        """Return the values (`[resolution]`) along an axis: the centres of pixels, or the points of a line."""
        low, high = self.ranges[axis]
        if len(self.axes) == 1:
            return np.linspace(low, high, self.resolution)
        return low + (np.arange(self.resolution) + 0.5) / self.resolution * (high - low)

    def observations(self) -> Tensor:
        """Return all observations, `[1, resolution**len(axes), size]`; the first axis changes fastest."""
        grid = np.tile(self.values, (self.resolution ** len(self.axes), 1))
        coordinates = np.meshgrid(*(self.points(axis) for axis in range(len(self.axes))))
        for index, coordinate in zip(self.axes, coordinates, strict=True):
            grid[:, index] = coordinate.ravel()
        return torch.from_numpy(grid.astype(self.dtype)).unsqueeze(0)


def _vectors(space: gym.Space[Any]) -> gym.spaces.Box:
    if not (isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and np.issubdtype(space.dtype, np.floating)):
        raise UnsupportedSpaceError(
            f"a map needs observations that are vectors of floating-point numbers, but the space is {space}. Give "
            "the space of one environment; gymnasium.wrappers.FlattenObservation makes vectors of others."
        )
    return space


def _check(size: int, ranges: Ranges, fixed: Mapping[int, float], names: Sequence[str] | None, resolution: int) -> None:
    if names is not None and len(names) != size:
        raise ConfigError(f"names: {size} expected, one for each coordinate; {len(names)} found.")
    if not isinstance(resolution, int) or resolution < 2:
        raise ConfigError(f"resolution: a whole number of at least 2 expected, {resolution!r} found.")
    for what, given in (("ranges", ranges), ("fixed", fixed)):
        for index, value in given.items():
            if index not in range(size) or not np.isfinite(value).all():
                raise ConfigError(
                    f"{what}: finite numbers for coordinates 0 to {size - 1} expected, {value} for {index!r} found."
                )


def _shown(space: gym.spaces.Box) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return for each coordinate (`[size]`) where it is shown from and to, its middle, and whether it is bounded."""
    low, high = (
        np.where(np.abs(bound) > LARGEST_BOUND, np.copysign(np.inf, bound), bound)
        for bound in (space.low.astype(np.float64), space.high.astype(np.float64))
    )
    bounded = np.isfinite(low) & np.isfinite(high)
    first = np.where(np.isfinite(low), low, np.where(np.isfinite(high), high - 2, -1))
    last = np.where(np.isfinite(high), high, first + 2)
    middle = np.where(bounded, (first + last) / 2, np.clip(0, low, high))
    constant = first == last
    return first - constant, last + constant, middle, bounded


def _check_axes(axes: Sequence[int] | None, size: int) -> tuple[int, ...]:
    indices = tuple(range(min(size, 2)) if axes is None else axes)
    if len(indices) not in (1, 2) or len(set(indices)) < len(indices) or not set(indices) <= set(range(size)):
        raise ConfigError(f"axes: one or two different coordinates from 0 to {size - 1} expected, {axes!r} found.")
    return tuple(int(index) for index in indices)
