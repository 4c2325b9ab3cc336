"""Pictures as environments draw them, made into those that a film is made of."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from workspace_rl.errors import RenderingError

EXPECTED = "a picture [H, W, 3] of whole numbers from 0 to 255 (uint8) expected"
#: Pixels along a side, and in all, beyond which encoding a film would need gigabytes.
LONGEST_SIDE, MOST_PIXELS = 8192, 4096 * 4096
#: How far the numbers of a picture may lie out of their range, by rounding.
TOLERANCE = 1e-3
#: Black and white pictures that are kept until their scale is known.
MOST_WAITING = 512
#: Kinds of PIL pictures whose numbers are not brightness.
_PALETTES = {"P": "RGBA", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB", "RGBa": "RGBA"}


class Pictures:
    """Makes pictures of a film's size and kind from whatever an environment draws.

    Taken are `[H, W]`, `[H, W, C]` and `[C, H, W]` with C = 1 (gray), 2 (gray, alpha), 3 or 4 (with alpha, laid over
    white), as NumPy array, tensor, PIL picture, or anything else that NumPy makes an array of; several pictures as
    list or as `[T, H, W, C]`. Whole numbers are from 0 to 255. Floating-point numbers are from 0 to 1 or from 0 to 255,
    in all pictures of a film alike: the first number that tells decides. All pictures have the size of the first.
    """

    def __init__(self) -> None:
        """Begin a film."""
        self._shape: tuple[int, int] | None = None
        #: What floating-point numbers are multiplied with; None as long as all of them have been 0 or 1.
        self._scale: float | None = None
        self._waiting: list[bytes] = []

    def add(self, drawn: Any, where: str) -> Iterator[np.ndarray]:
        """Yield the pictures, `[H, W, 3]` uint8, that can be shown now that `drawn` is there.

        Args:
            drawn: what an environment's `render` has returned.
            where: where that was, for messages.

        Raises:
            RenderingError: this is no picture, or not one of the film.
        """
        for one in _split(drawn):
            picture = _as_array(one, where)
            colours = self._colours(picture, where)
            if colours.dtype == np.uint8:
                yield from self.rest()
                yield colours
                continue
            if self._scale is None:
                self._scale = _scale_of(colours)
            if self._scale is None and len(self._waiting) < MOST_WAITING:
                self._waiting.append(zlib.compress(_rounded(colours).tobytes(), 1))
                continue
            self._scale = self._scale or 255.0
            if colours.max() * self._scale > 255 * (1 + TOLERANCE):
                raise RenderingError(
                    f"{where}: {_described(picture)}, whereas pictures before it had floating-point numbers between 0 "
                    f"and 1. {_capital(EXPECTED)}, or floating-point numbers of one range in the whole film."
                )
            yield from self.rest()
            yield _rounded(colours * self._scale)

    def rest(self) -> Iterator[np.ndarray]:
        """Yield the pictures that have waited for their scale; it is from 0 to 1 if nothing has told."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            values = np.frombuffer(zlib.decompress(one), np.uint8).reshape(*self._shape, 3)  # type: ignore[misc]
            yield _rounded(values * np.float32(self._scale or 255.0))

    def _colours(self, drawn: np.ndarray, where: str) -> np.ndarray:
        """Return three channels, as uint8 or as float32 that is not scaled yet."""
        picture = _channels_last(drawn, where)
        shape = picture.shape[:2]
        if 0 in shape or max(shape) > LONGEST_SIDE or shape[0] * shape[1] > MOST_PIXELS:
            raise RenderingError(
                f"{where}: {_described(drawn)}. A side of a film has 1 to {LONGEST_SIDE:,} pixels, a picture at most "
                f"{MOST_PIXELS:,}."
            )
        if self._shape is None:
            self._shape = shape
        if shape != self._shape:
            raise RenderingError(
                f"{where}: {_described(drawn)}, but the film has begun with pictures of {list(self._shape)} pixels. "
                "All pictures of a film have one size: let the environment draw so."
            )
        if picture.dtype == np.bool_:
            picture = picture.astype(np.uint8) * 255
        if picture.dtype != np.uint8:
            low, high = picture.min(), picture.max()
            whole = np.issubdtype(picture.dtype, np.integer)
            slack = 0 if whole else TOLERANCE
            if not (-slack <= low and high <= 255 * (1 + slack)):  # not a number fails, too
                raise RenderingError(
                    f"{where}: {_described(drawn)}; {EXPECTED}{'' if whole else ', or numbers from 0 to 1'}."
                )
            picture = picture.astype(np.uint8 if whole else np.float32)
        colours, alpha = (picture, None) if picture.shape[-1] in (1, 3) else (picture[..., :-1], picture[..., -1:])
        if alpha is not None:
            colours = self._over_white(colours, alpha)
        return np.broadcast_to(colours, (*shape, 3))

    def _over_white(self, colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        if colours.dtype == np.uint8:
            if (alpha == 255).all():
                return colours
            share = alpha / np.float32(255)
            return _rounded(colours * share + 255 * (1 - share))
        if self._scale is None:
            self._scale = _scale_of(np.concatenate([colours, alpha], axis=-1))
        white = np.float32(255 / (self._scale or 255.0))
        share = alpha / white
        blended: np.ndarray = colours * share + white * (1 - share)
        return blended


def _split(drawn: Any) -> list[Any]:
    """Return the pictures of several, as a list or in one array, or the only one."""
    if isinstance(drawn, list | tuple) and not (drawn and isinstance(drawn[0], list | tuple | int | float)):
        return list(drawn)
    if getattr(drawn, "ndim", 0) == 4:
        return list(drawn)
    return [drawn]


def _as_array(drawn: Any, where: str) -> np.ndarray:
    if isinstance(drawn, torch.Tensor):
        drawn = drawn.detach().cpu()
        drawn = (drawn.float() if drawn.dtype == torch.bfloat16 else drawn).numpy()
    mode = getattr(drawn, "mode", None)
    if isinstance(mode, str) and hasattr(drawn, "convert"):
        drawn = drawn.convert(_PALETTES[mode]) if mode in _PALETTES else drawn
    try:
        picture = np.asarray(drawn)
    except Exception as error:  # whatever arrays in the making raise
        raise RenderingError(f"{where}: {type(drawn).__name__} is no picture ({error}); {EXPECTED}.") from error
    numbers = picture.dtype == np.bool_ or np.issubdtype(picture.dtype, np.number)
    if drawn is None or not numbers or np.iscomplexobj(picture):
        what = "None" if drawn is None else f"{type(drawn).__name__} of {picture.dtype}, shape {list(picture.shape)}"
        what = f"{drawn[:40]!r}" if isinstance(drawn, str) else what
        raise RenderingError(f"{where}: {what} found; {EXPECTED}.")
    return picture


def _channels_last(picture: np.ndarray, where: str) -> np.ndarray:
    if picture.ndim == 2:
        return picture[..., None]
    if picture.ndim == 3 and picture.shape[-1] in (1, 2, 3, 4):
        return picture
    if picture.ndim == 3 and picture.shape[0] in (1, 3, 4):
        return np.moveaxis(picture, 0, -1)
    raise RenderingError(f"{where}: {_described(picture)}; {EXPECTED}.")


def _scale_of(values: np.ndarray) -> float | None:
    """Return what floating-point numbers have to be multiplied with, None where zeros and ones leave it open."""
    if values.max() > 1 + TOLERANCE:
        return 1.0
    between = (values > TOLERANCE) & (values < 1 - TOLERANCE)
    return 255.0 if between.any() else None


def _rounded(values: np.ndarray) -> np.ndarray:
    picture: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return picture


def _described(picture: np.ndarray) -> str:
    """Return what a picture is: its shape, dtype and range."""
    text = f"a picture of shape {list(picture.shape)}, dtype {picture.dtype}"
    if not picture.size:
        return f"{text}, without a pixel"
    if np.issubdtype(picture.dtype, np.inexact) and not np.isfinite(picture).all():
        return f"{text}, with numbers that are not finite"
    return f"{text}, numbers from {picture.min():.6g} to {picture.max():.6g}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
