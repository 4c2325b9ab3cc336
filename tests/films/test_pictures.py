"""Whatever environments draw becomes a right picture, or an error that says what it is."""

import numpy as np
import PIL.Image
import pytest
import torch

from workspace_rl.errors import RenderingError
from workspace_rl.films import pictures as module
from workspace_rl.films.pictures import Pictures

LEVELS = [0, 50, 100, 150, 255]
COLOUR = np.array([1.0, 0.5, 0.0])


def made(drawn):
    """Return the pictures that are made of a film's."""
    film = Pictures()
    return [one for k, drawing in enumerate(drawn) for one in film.add(drawing, f"step {k}")] + list(film.rest())


def full(level, *shape, dtype=np.uint8):
    return np.full(shape, level, dtype)


def pil(mode):
    return lambda level: PIL.Image.fromarray(full(level, 6, 8, 3)).convert(mode)


GRAY = {
    "uint8": lambda v: full(v, 6, 8, 3),
    "gray": lambda v: full(v, 6, 8),
    "gray, one channel": lambda v: full(v, 6, 8, 1),
    "with alpha": lambda v: np.dstack([full(v, 6, 8, 3), full(255, 6, 8)]),
    "gray with alpha": lambda v: np.dstack([full(v, 6, 8), full(255, 6, 8)]),
    "int64": lambda v: full(v, 6, 8, 3, dtype=np.int64),
    "uint16, big-endian": lambda v: full(v, 6, 8, 3, dtype=">u2"),
    "float32, 0 to 1": lambda v: full(v / 255, 6, 8, 3, dtype=np.float32),
    "float16, 0 to 1, gray": lambda v: full(v / 255, 6, 8, dtype=np.float16),
    "float64, 0 to 255": lambda v: full(v, 6, 8, 3, dtype=np.float64),
    "float with alpha, 0 to 1": lambda v: np.dstack([full(v / 255, 6, 8, 3, dtype=np.float64), np.ones((6, 8))]),
    "float with alpha, 0 to 255": lambda v: np.dstack([full(v, 6, 8, 3, dtype=np.float64), full(255, 6, 8)]),
    "channels first": lambda v: full(v, 3, 6, 8),
    "gray, channel first": lambda v: full(v, 1, 6, 8),
    "float, channels first": lambda v: full(v / 255, 3, 6, 8, dtype=np.float32),
    "tensor": lambda v: torch.full((6, 8, 3), v, dtype=torch.uint8),
    "tensor with a graph": lambda v: torch.full((3, 6, 8), v / 255, requires_grad=True) * 1,
    "tensor, bfloat16": lambda v: torch.full((6, 8), float(v), dtype=torch.bfloat16),
    "not contiguous": lambda v: full(v, 12, 8, 3)[::-2],
    "read only": lambda v: np.broadcast_to(np.uint8(v), (6, 8, 3)),
    "numbers in lists": lambda v: full(v, 6, 8, 3).tolist(),
    "a list of one": lambda v: [full(v, 6, 8, 3)],
    "one in an array": lambda v: full(v, 1, 6, 8, 3),
    **{f"PIL {mode}": pil(mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "F", "I")},
}


@pytest.mark.parametrize("kind", GRAY)
def test_pictures_of_one_brightness(kind):
    found = made([GRAY[kind](level) for level in LEVELS])
    assert [one.shape for one in found] == [(6, 8, 3)] * 5 and {one.dtype for one in found} == {np.dtype(np.uint8)}
    assert [one.min() for one in found] == [one.max() for one in found]
    assert [int(one.max()) for one in found] == pytest.approx(LEVELS, abs=3 if kind == "PIL P" else 1)


@pytest.mark.parametrize("scale", [1, 255])
@pytest.mark.parametrize("channels_first", [False, True])
def test_colours(scale, channels_first):
    picture = np.broadcast_to(COLOUR * scale, (6, 8, 3))
    (found,) = made([np.moveaxis(picture, -1, 0) if channels_first else picture])
    assert found[0, 0].tolist() == [255, 128, 0]


def test_what_is_transparent_is_laid_over_white():
    for scale, dtype in ((255, np.uint8), (1, np.float32), (255, np.float64)):
        picture = np.zeros((6, 8, 4), dtype)
        picture[..., 3] = np.array([0.0, 0.2, 0.6, 1.0] * 2) * scale  # black
        (found,) = made([picture])
        np.testing.assert_allclose(found[0, :4, 0], [255, 204, 102, 0], atol=1)


def test_the_scale_of_floating_point_numbers_is_decided_once():
    dark, black, white, bright = (full(v, 6, 8, dtype=np.float64) for v in (0.25, 0, 1, 200))
    levels = [one.max() for one in made([black, white, black, bright, white, dark])]
    assert levels == [0, 1, 0, 200, 1, 0]  # from 0 to 255, as the fourth tells
    assert [one.max() for one in made([black, white, black])] == [0, 255, 0]
    assert [one.max() for one in made([black, dark, white])] == [0, 64, 255]
    with pytest.raises(RenderingError, match=r"step 1: .* numbers from 200 to 200, whereas .* between 0 and 1"):
        made([dark, bright])


def test_pictures_do_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    film = Pictures()
    counts = [len(list(film.add(np.zeros((6, 8)), ""))) for _ in range(6)]
    assert counts == [0, 0, 0, 4, 1, 1]


def test_rounding_out_of_the_range_is_forgiven():
    assert [one.max() for one in made([full(v, 6, 8, dtype=np.float64) for v in (-1e-9, 0.5, 1 + 1e-7)])] == [
        0,
        128,
        255,
    ]
    assert [one.max() for one in made([full(v, 6, 8, dtype=np.float64) for v in (100, 255 + 1e-7)])] == [100, 255]


def test_several_pictures_at_once():
    assert [one.max() for one in made([[], [full(1, 6, 8), full(2, 6, 8)], np.stack([full(3, 6, 8, 3)] * 2)])] == [
        1,
        2,
        3,
        3,
    ]


def test_black_and_white():
    assert [one.max() for one in made([np.zeros((6, 8), bool), np.ones((6, 8), bool)])] == [0, 255]


BAD = {
    "None": (None, "None found"),
    "text": ("+---+", r"'\+---\+' found"),
    "an object": (object(), "object of object"),
    "a mapping": ({"rgb": 1}, "dict of object"),
    "ragged": ([[[1, 2], [3]]], "is no picture"),
    "a list with None": ([None], "None found"),
    "complex": (np.ones((6, 8), complex), "complex128, shape"),
    "one dimension": (np.ones(6), r"shape \[6\], dtype float64"),
    "five channels": (full(1, 6, 8, 5), r"shape \[6, 8, 5\], dtype uint8, numbers from 1 to 1"),
    "no pixel": (full(1, 0, 8, 3), r"shape \[0, 8, 3\], dtype uint8, without a pixel"),
    "NaN": (np.full((6, 8, 3), np.nan), "not finite"),
    "infinity": (np.full((6, 8, 3), np.inf), "not finite"),
    "from -1 to 1": (np.linspace(-1, 1, 144).reshape(6, 8, 3), "numbers from -1 to 1.*or numbers from 0 to 1"),
    "16 bits": (full(60000, 6, 8, dtype=np.uint16), "dtype uint16, numbers from 60000 to 60000"),
    "negative": (full(-1, 6, 8, 3, dtype=np.int8), "dtype int8, numbers from -1 to -1"),
    "more than 255": (full(256, 6, 8, 3, dtype=np.float64), "numbers from 256 to 256"),
    "huge": (np.broadcast_to(np.uint8(0), (5000, 5000, 3)), r"\[5000, 5000, 3\].*at most 16,777,216"),
    "wide": (np.broadcast_to(np.uint8(0), (2, 9000, 3)), r"1 to 8,192 pixels"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_picture_is_described(kind):
    drawn, what = BAD[kind]
    with pytest.raises(RenderingError, match=f"^step 0: .*{what}"):
        made([drawn])
    if kind not in ("huge", "wide"):
        with pytest.raises(RenderingError, match="uint8|0 to 255|1 to 8,192"):
            made([drawn])


def test_pictures_that_change_their_size():
    with pytest.raises(RenderingError, match=r"step 1: .*\[7, 8, 3\].* begun with pictures of \[6, 8\] pixels"):
        made([full(1, 6, 8, 3), full(1, 7, 8, 3)])
