"""Fake tensors, which have shapes and no values, beside real ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from workspace_rl.inspection.copies.nested import flat
from workspace_rl.inspection.copies.untraceable import OutOfReachError


def is_fake(tensor: Tensor) -> bool:
    """Return whether a tensor is a fake one, without values."""
    return type(tensor).__name__ == "FakeTensor" or hasattr(tensor, "fake_mode")


class Guard(TorchFunctionMode):
    """Refuses, while fake tensors are in use, to change parameters that were not copied."""

    def __torch_function__(
        self, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `function`, unless it changes a real parameter."""
        name = getattr(function, "__name__", "")
        in_place = name in ("__set__", "__setitem__") or (name.endswith("_") and not name.endswith("__"))
        if in_place and any(isinstance(one, nn.Parameter) and not is_fake(one) for one in flat([*args])):
            raise OutOfReachError("it changes parameters that are out of the trace's reach")
        return function(*args, **(kwargs or {}))
