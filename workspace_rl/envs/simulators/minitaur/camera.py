"""Pictures of the robot, and the camera of PyBullet's window."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def picture(client: Any, target: tuple[float, float, float], width: int, height: int) -> NDArray[np.uint8]:
    """Return a picture of what stands at `target`, uint8 of shape (height, width, 3), drawn in software."""
    view = client.computeViewMatrixFromYawPitchRoll(
        cameraTargetPosition=target, distance=1.0, yaw=0, pitch=-30, roll=0, upAxisIndex=2
    )
    aspect = width / height
    projection = client.computeProjectionMatrixFOV(fov=60, aspect=aspect, nearVal=0.1, farVal=100.0)
    pixels = client.getCameraImage(
        width=width,
        height=height,
        viewMatrix=view,
        projectionMatrix=projection,
        renderer=client.ER_TINY_RENDERER,
    )[2]
    # A tuple of numbers where PyBullet was built without NumPy.
    picture = np.asarray(pixels, dtype=np.uint8).reshape(height, width, 4)
    return np.ascontiguousarray(picture[:, :, :3])


def follow(client: Any, target: tuple[float, float, float]) -> None:
    """Move the window's camera, which the user may turn, after what stands at `target`."""
    yaw, pitch, distance = client.getDebugVisualizerCamera()[8:11]
    client.resetDebugVisualizerCamera(distance, yaw, pitch, target)
