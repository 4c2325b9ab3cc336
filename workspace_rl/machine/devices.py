"""Devices that this machine has."""

from __future__ import annotations

import torch

from workspace_rl.errors import ConfigError


def torch_device(name: str | torch.device) -> torch.device:
    """Return the device called `name`.

    Raises:
        ConfigError: it is not available here.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ConfigError(
            f"device: {name!r} is not available ({str(error).splitlines()[0]}). Every machine has device=cpu."
        ) from error
    if device.type == "meta":
        raise ConfigError("device: 'meta' has shapes and no numbers, so that nothing can be computed. Use device=cpu.")
    return device


def nearest_device(name: str) -> str:
    """Return `name` if this machine has such a device, else another one of its kind, else "cpu"."""
    for candidate in (name, name.partition(":")[0]):
        try:
            torch_device(candidate)
        except ConfigError:
            continue
        return candidate
    return "cpu"
