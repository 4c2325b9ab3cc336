"""All of a module's state by name: what files keep of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from workspace_rl.errors import CompositionError


def state_by_name(module: nn.Module) -> dict[str, Any]:
    """Return the module's `state_dict`, whose tensors are the module's own, and its non-persistent buffers.

    Those are among it since a module may change them: without them it would act differently when it is read back.
    """
    return {**dict(module.named_buffers(remove_duplicate=False)), **module.state_dict(keep_vars=True)}


def buffer_places(module: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Return where each buffer stands, the module and the name there, by its name; also of those that are None."""
    return {
        f"{path}.{name}".lstrip("."): (part, name)
        for path, part in module.named_modules(remove_duplicate=False)
        for name in part._buffers
    }


def misfits(module: nn.Module, stored: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return names whose shapes differ, with the module's shape and the stored one, None for nothing.

    A buffer may have any shape, and non-persistent ones may be missing, as in older files.
    """
    places = buffer_places(module)
    expected = state_by_name(module)
    found = {}
    for name in expected | dict(stored):
        ours, theirs = (tuple(one[name].shape) if name in one else None for one in (expected, stored))
        if name in places:
            part, leaf = places[name]
            fits = name in stored or leaf in part._non_persistent_buffers_set
        else:
            fits = ours == theirs
        if not fits:
            found[name] = (ours, theirs)
    return found


@torch.no_grad()
def put_buffers(module: nn.Module, stored: Mapping[str, Tensor]) -> None:
    """Put stored buffers into a module: in place where they fit, else in place of what is there."""
    filled: dict[Tensor, Tensor] = {}
    for name, (part, leaf) in buffer_places(module).items():
        if name not in stored:
            continue
        now, value = part._buffers[leaf], stored[name]
        if now is not None and now.shape == value.shape and now.dtype == value.dtype and 0 not in now.stride():
            # Two buffers may have been one tensor when the module was built, and none any more when it was stored.
            if torch.equal(filled.setdefault(now, value), value):
                now.copy_(value)
                continue
        part._buffers[leaf] = value.to(None if now is None else now.device, copy=True)


def require_created(module: nn.Module, name: str) -> None:
    """Check that a module has its parameters: nothing can be copied or stored before.

    Raises:
        CompositionError: some are created at the first call only; the message names them.
    """
    lazy = [key for key, value in state_by_name(module).items() if is_lazy(value)]
    if lazy:
        raise CompositionError(
            f"{name}: {', '.join(lazy)} are created at the first call only, as in torch.nn.LazyLinear. Nothing can be "
            "copied or stored before: where it is built, run it once on inputs of the right sizes, before it is copied."
        )
