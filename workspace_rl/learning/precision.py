"""The precision of float32 matrix products: whether a faster setting is as accurate on this processor."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

SETTINGS = ("highest", "high", "medium")
#: A faster setting is taken if it is faster by this factor, and its errors are at most so many times those of
#: "highest": the order of summation makes a difference of two or three, a coarser number format one of thousands.
WORTH_IT, SAME_ACCURACY = 1.1, 4.0


@contextlib.contextmanager
def matmul_precision(setting: str) -> Iterator[None]:
    """Let torch use a precision ("highest", "high", "medium") for float32 products within the block."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(setting)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def choose_matmul_precision(shapes: Sequence[tuple[int, int, int]], device: torch.device) -> str:
    """Return the fastest setting for the linear layers of an update that is as accurate as float32.

    On AMD processors "medium" reaches another library, which is twice as fast for wide layers and as accurate. On
    processors with AMX, and on GPUs, it means products in bfloat16, which this refuses.

    Args:
        shapes: (batch_size, in_features, out_features) of each layer.
        device: where they run.
    """
    generator = torch.Generator().manual_seed(0)
    products: list[tuple[Tensor, Tensor]] = []
    for batch_size, inputs, outputs in shapes:
        x, weight, gradient = (
            torch.randn(*size, generator=generator).to(device)
            for size in ((batch_size, inputs), (outputs, inputs), (batch_size, outputs))
        )
        # A learner's and a target's forward pass, the gradients of the weights and of the inputs.
        products += [(x, weight.t()), (x, weight.t()), (gradient.t(), x), (gradient, weight)]
    if not products:
        return "highest"
    exact = [a.double() @ b.double() for a, b in products]
    seconds: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
    errors: dict[str, float] = {}
    for setting in SETTINGS:
        with matmul_precision(setting):
            pairs = zip(products, exact, strict=True)
            errors[setting] = max(float(((a @ b).double() - one).norm() / one.norm()) for (a, b), one in pairs)
    for _ in range(11):  # in turns, so that a busy moment hits all of them
        for setting in SETTINGS:
            with matmul_precision(setting):
                start = _clock(device)
                for a, b in products * 3:
                    a @ b
                seconds[setting].append(_clock(device) - start)
    return fastest_accurate({setting: min(times) for setting, times in seconds.items()}, errors)


def _clock(device: torch.device) -> float:
    """Return a time in seconds: that of this process alone, or of a GPU that has done its work."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def fastest_accurate(seconds: Mapping[str, float], errors: Mapping[str, float]) -> str:
    """Return the fastest setting that is as accurate as "highest"; that one, unless another is clearly faster."""
    accurate = [one for one in SETTINGS if errors[one] <= SAME_ACCURACY * errors["highest"]]
    fastest = min(accurate, key=lambda one: seconds[one])
    return fastest if seconds[fastest] * WORTH_IT <= seconds["highest"] else "highest"


def layer_shapes(modules: Iterable[nn.Module], batch_size: int) -> list[tuple[int, int, int]]:
    """Return (batch_size, in_features, out_features) of each linear layer in `modules`."""
    layers = [layer for module in modules for layer in module.modules() if isinstance(layer, nn.Linear)]
    return [(batch_size, layer.in_features, layer.out_features) for layer in layers]
