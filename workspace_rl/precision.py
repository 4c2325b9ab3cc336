"""The precision of float32 matrix products: whether a faster setting is as accurate on this processor."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

SETTINGS = ("highest", "high", "medium")
#: A faster setting is taken if it is faster by this factor, and its errors are at most twice those of "highest".
WORTH_IT, SAME_ACCURACY = 1.1, 2.0


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
    """Return the fastest setting whose products of the given shapes are as accurate as float32's.

    On AMD processors "medium" reaches another library, which is twice as fast for wide layers and as accurate. On
    processors with AMX, and on GPUs, it means products in bfloat16, which this refuses.

    Args:
        shapes: (m, k, n) of products `[m, k] @ [k, n]`, those that an update consists of.
        device: where they run.
    """
    if not shapes:
        return "highest"
    generator = torch.Generator().manual_seed(0)
    operands = [
        (torch.randn(m, k, generator=generator).to(device), torch.randn(k, n, generator=generator).to(device))
        for m, k, n in shapes
    ]
    exact = [a.double() @ b.double() for a, b in operands]
    seconds, errors = {}, {}
    for setting in SETTINGS:
        with matmul_precision(setting):
            errors[setting] = max(
                float(((a @ b).double() - one).norm() / one.norm()) for (a, b), one in zip(operands, exact, strict=True)
            )
            rounds = []
            for _ in range(7):
                start = time.perf_counter()
                for _ in range(5):
                    for a, b in operands:
                        a @ b
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                rounds.append(time.perf_counter() - start)
            seconds[setting] = min(rounds)
    return fastest_accurate(seconds, errors)


def fastest_accurate(seconds: Mapping[str, float], errors: Mapping[str, float]) -> str:
    """Return the fastest setting that is as accurate as "highest"; that one, unless another is clearly faster."""
    accurate = [one for one in SETTINGS if errors[one] <= SAME_ACCURACY * errors["highest"]]
    fastest = min(accurate, key=lambda one: seconds[one])
    return fastest if seconds[fastest] * WORTH_IT <= seconds["highest"] else "highest"


def product_shapes(modules: Sequence[nn.Module], batch_size: int) -> list[tuple[int, int, int]]:
    """Return the products (m, k, n) of the linear layers in `modules` for a batch, each as often as it occurs."""
    layers = [layer for module in modules for layer in module.modules() if isinstance(layer, nn.Linear)]
    return [(batch_size, layer.in_features, layer.out_features) for layer in layers]
