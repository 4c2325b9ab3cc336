"""PyBullet, without what it prints, without `gym`, and without ending the process where there is no display."""

import ctypes
import importlib
import importlib.util
import os
import sys
import types
from typing import Any

from workspace_rl.envs.simulators.quiet import quiet_native_output
from workspace_rl.messages.installation import how_to_install


def import_robot_module() -> types.ModuleType:
    """Import PyBullet's ``minitaur.py`` without running the packages it lies in, which need ``gym``.

    Raises:
        ImportError: PyBullet is not installed.
    """
    try:
        with quiet_native_output():
            importlib.import_module("pybullet")
        package_spec = importlib.util.find_spec("pybullet_envs")
        if package_spec is None or package_spec.submodule_search_locations is None:
            raise ModuleNotFoundError("No module named 'pybullet_envs'", name="pybullet_envs")
    except ImportError as error:
        raise ImportError(
            f"MinitaurBulletEnv needs PyBullet, which is not installed. To install it: {how_to_install('pybullet')}"
        ) from error
    name = f"{__name__}_pybullet"
    if name not in sys.modules:
        package = types.ModuleType(name)
        package.__path__ = [os.path.join(location, "bullet") for location in package_spec.submodule_search_locations]
        sys.modules[name] = package
    return importlib.import_module(f"{name}.minitaur")


def connect(*, window: bool) -> Any:
    """Start a simulation, with PyBullet's window or without.

    Raises:
        RuntimeError: The window cannot be opened since there is no display.
    """
    pybullet = importlib.import_module("pybullet")
    bullet_client = importlib.import_module("pybullet_utils.bullet_client")
    if window and not _has_display():
        raise RuntimeError('render_mode="human" needs a display and there is none: use "rgb_array"')
    return bullet_client.BulletClient(connection_mode=pybullet.GUI if window else pybullet.DIRECT)


def _has_display() -> bool:
    """Whether a window can be opened. PyBullet ends the process, without an exception, where it cannot."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        x11 = ctypes.CDLL("libX11.so.6")
    except OSError:
        return False
    x11.XOpenDisplay.restype = ctypes.c_void_p
    display = x11.XOpenDisplay(None)
    if not display:
        return False
    x11.XCloseDisplay(ctypes.c_void_p(display))
    return True
