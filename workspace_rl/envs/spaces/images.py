"""Observations that are images: those that convolutions read, and how others become such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np


def is_image(space: gym.Space[Any]) -> bool:
    """Return whether observations are images for convolutions: channels first, at least 36 x 36 pixels."""
    return isinstance(space, gym.spaces.Box) and len(space.shape) == 3 and min(space.shape[1:]) >= 36


def is_picture(space: gym.Space[Any]) -> bool:
    """Return whether a part of an observation is a picture for convolutions, or a stack of pictures.

    It is `[C, H, W]` or `[S, C, H, W]`, and of bytes, or of at least 36 x 36 pixels.
    """
    if not isinstance(space, gym.spaces.Box) or len(space.shape) not in (3, 4):
        return False
    return space.dtype == np.uint8 or min(space.shape[-2:]) >= 36


def has_channels_last(space: gym.Space[Any]) -> bool:
    """Return whether a part of an observation is a picture that convolutions would take wrongly.

    It is `[H, W, C]`, or a stack of such, `[S, H, W, C]`, or, of bytes and large, `[H, W]`.
    """
    if not isinstance(space, gym.spaces.Box):
        return False
    shape = space.shape
    if len(shape) == 2:
        return space.dtype == np.uint8 and min(shape) >= 36
    return (
        len(shape) in (3, 4) and shape_has_channels_last(shape) and (space.dtype == np.uint8 or min(shape[-3:-1]) >= 36)
    )


def shape_has_channels_last(shape: Sequence[int]) -> bool:
    """Return whether the last of three dimensions (of four, without the first) counts channels: few beside many."""
    return shape[-1] <= 4 < min(shape[-3:-1])


def images_with_channels_last(shape: Sequence[int], dtype: Any = np.uint8) -> str:
    """Return how networks learn from images `[height, width(, channels)]`; nothing if they are none, or too small."""
    if len(shape) not in (2, 3) or min(shape[:2]) < 36 or (len(shape) == 3 and shape[2] > 4):
        return ""
    wrappers = "a subclass of gymnasium.ObservationWrapper in gym_env.wrappers makes"
    if len(shape) == 2 or (shape[2] == 3 and dtype == np.uint8):
        gray = "GrayscaleObservation, " if len(shape) == 3 else ""
        wrappers = f"gym_env.wrappers=[{gray}{{classname: FrameStackObservation, stack_size: 4}}] makes"
    return (
        " Convolutions, such as those of algorithm.architecture.network=nature_cnn, read channels first: "
        f"{wrappers} such of these, or gym_env.atari={{}} those of an Atari game."
    )
