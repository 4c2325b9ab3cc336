"""Random numbers: seeds that coincide by chance only, and a random state of one's own."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from workspace_rl.basics.arguments import checked
from workspace_rl.basics.plain_data import told, whole_number
from workspace_rl.errors import CompositionError

#: What a seed is used for: each use draws from a stream of its own.
(
    TRAINING,
    TRAINING_EPISODES,
    EVALUATION_EPISODES,
    FINAL_EPISODES,
    VIDEO_EPISODES,
    RENEWAL,
    PARTS,
    COLLECTING,
    RANK,
) = range(9)

#: Seeds of episodes are below this number, which every simulator accepts.
_MOST_SEEDS = 2**31


@checked(least={"seed": 0, "use": 0, "n": 0})
def episode_seeds(seed: int, *use: int, n: int) -> list[int]:
    """Return `n` different seeds for the resets of environments.

    They are derived by `numpy.random.SeedSequence` from `seed` and from what they are used for, so that two seeds, or
    two uses, share episodes by chance only: n of the one and m of the other about n m / 2**31 of them.

    Args:
        seed: a seed.
        *use: what for, for instance `EVALUATION_EPISODES`, or `TRAINING_EPISODES` and the number of the reset.
        n: how many.

    Returns:
        Integers below 2**31.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=use)
    seeds: list[int] = []
    size = n
    while len(seeds) < n:
        # Of equal ones, which are rare, the first is kept.
        seeds = list(dict.fromkeys((sequence.generate_state(size) >> 1).tolist()))
        size *= 2
    return seeds[:n]


def checked_seeds(seeds: Iterable[Any]) -> list[int]:
    """Return seeds as Python's integers, whatever whole numbers they are: a list, a range, an array or a tensor.

    No simulator takes a negative seed, so -1 stands for 2**31 - 1, as it does for 2**64 - 1 in `torch.manual_seed`.

    Raises:
        CompositionError: there are none, or one is no whole number of at least -2**31.
    """
    try:
        several = list(seeds)
    except TypeError:
        raise CompositionError(
            f"seeds: several whole numbers expected, as in [1, 2, 3], {told(seeds)} found."
        ) from None
    if not several:
        raise CompositionError("seeds: at least one expected, one for each episode.")
    numbers = [whole_number(seed, "seeds", least=-_MOST_SEEDS, error=CompositionError) for seed in several]
    return [number + _MOST_SEEDS if number < 0 else number for number in numbers]


def checked_seed(seed: Any) -> int:
    """Return a seed as Python's integer.

    Raises:
        CompositionError: it is no whole number of at least 0.
    """
    return whole_number(seed, "seed", least=0, error=CompositionError)


class RandomState:
    """The state of all global random generators (Python, NumPy, torch), kept apart from everybody else's.

    Within `with state:` the generators go on from where this state was left, and afterwards the caller's are back
    as they were. What runs inside can so neither disturb the program around it nor be disturbed by it.
    """

    @checked(least={"seed": 0, "use": 0})
    def __init__(self, seed: int, *use: int) -> None:
        """Start from `seed` and what it is used for, by `numpy.random.SeedSequence`."""
        words = np.random.SeedSequence(seed, spawn_key=use).generate_state(3, dtype=np.uint64)
        self._seeds: list[int] | None = [int(word) for word in words]
        self._state: Any = None
        self._outer: Any = None
        self._depth = 0

    def capture(self) -> dict[str, Tensor]:
        """Return, within `with state:`, where the generators stand."""
        (_, words, gauss), (_, keys, position, has_gauss, cached), torch_state, devices = _capture()
        return {
            "python": torch.tensor(words),
            "python_gauss": torch.tensor([] if gauss is None else [gauss], dtype=torch.float64),
            "numpy": torch.from_numpy(keys.astype(np.int64)),
            "numpy_gauss": torch.tensor([position, has_gauss, cached], dtype=torch.float64),
            "torch": torch_state,
            **{f"cuda{index}": state for index, state in enumerate(devices)},
        }

    def restore(self, captured: Mapping[str, Tensor]) -> None:
        """Let the generators go on, at the next `with state:`, from where `capture` found them.

        Raises:
            ValueError, KeyError: that is no state of the generators.
        """
        (gauss,) = captured["python_gauss"].tolist() or (None,)
        position, has_gauss, cached = captured["numpy_gauss"].tolist()
        devices = [captured[f"cuda{index}"].clone() for index in range(len(captured)) if f"cuda{index}" in captured]
        if not devices and self._state is not None:  # they were captured on a machine without: from the seed
            devices = self._state[-1]
        self._state = (
            (3, tuple(captured["python"].tolist()), gauss),
            ("MT19937", captured["numpy"].numpy().astype(np.uint32), int(position), int(has_gauss), cached),
            captured["torch"].clone(),
            devices,
        )
        self._seeds = None

    def __enter__(self) -> Self:
        """Take the generators over; entering again inside changes nothing."""
        self._depth += 1
        if self._depth > 1:
            return self
        self._outer = _capture()
        if self._seeds is not None:
            python_seed, numpy_seed, torch_seed = self._seeds
            random.seed(python_seed)
            np.random.seed(numpy_seed % 2**32)
            _seed_torch(torch_seed)
            self._seeds = None
        else:
            _restore(self._state)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the generators back."""
        self._depth -= 1
        if self._depth == 0:
            self._state = _capture()
            _restore(self._outer)


def _seed_torch(seed: int) -> None:
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:  # the same, without the whole stack as text, which is kept for devices that may come; a collector seeds often
        torch.default_generator.manual_seed(seed)


def _capture() -> tuple[Any, ...]:
    devices = [torch.cuda.get_rng_state(index) for index in _cuda_devices()]
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), devices


def _restore(state: tuple[Any, ...]) -> None:
    python_state, numpy_state, torch_state, devices = state
    random.setstate(python_state)
    np.random.set_state(numpy_state)
    torch.set_rng_state(torch_state)
    for index, device_state in zip(_cuda_devices(), devices, strict=False):
        torch.cuda.set_rng_state(device_state, index)


def _cuda_devices() -> range:
    return range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)
