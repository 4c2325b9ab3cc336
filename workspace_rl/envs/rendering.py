"""Drawing environments: without a screen, with a camera that follows, and as pictures of all copies."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

from workspace_rl.errors import RenderingError


def configure_headless_rendering() -> None:
    """Let MuJoCo and pygame draw off screen where there is no display; variables that are set already win.

    MuJoCo reads its variable when it is first imported, so this runs before any environment is made.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    if "MUJOCO_GL" not in os.environ:
        for library, backend in (("libEGL.so.1", "egl"), ("libOSMesa.so.8", "osmesa")):
            try:
                ctypes.CDLL(library)
            except OSError:
                continue
            os.environ["MUJOCO_GL"] = backend
            break


def let_camera_follow(env: gym.Env[Any, Any]) -> None:
    """Take the camera that goes along with MuJoCo's robots: out of the sight of gymnasium's own they run away."""
    renderer = getattr(env.unwrapped, "mujoco_renderer", None)
    if renderer is not None:
        import mujoco

        camera = mujoco.mj_name2id(renderer.model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
        if camera != -1:
            renderer.camera_id = camera


def pictures(vector_env: VectorEnv[Any, Any, Any], agent: str) -> list[Any]:
    """Return what each environment of an agent draws.

    Raises:
        RenderingError: they were not made with `render_mode="rgb_array"`, or drawing raised an exception.
    """
    if getattr(vector_env, "render_mode", None) not in ("rgb_array", "rgb_array_list"):
        raise RenderingError(
            f"the environments of {agent} give no pictures: make them with "
            'env_args={"render_mode": "rgb_array"}, if they support that.'
        )
    try:
        drawn = vector_env.render()
    except RenderingError:
        raise
    except (Exception, SystemExit) as error:
        said = f": {error}" if str(error) else ""
        raise RenderingError(
            f"the environments of {agent} cannot draw themselves: render raised {type(error).__name__}{said}."
        ) from error
    return [None] * vector_env.num_envs if drawn is None else list(drawn)
