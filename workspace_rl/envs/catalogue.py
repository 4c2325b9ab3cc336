"""Environments that are known to work, by the extra that they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from workspace_rl.errors import MissingDependencyError
from workspace_rl.make_env import make_env

#: Extra ("" for none) -> ids. All are tested; many others work as well.
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "": (
        "CartPole-v1",
        "CartPoleSwingUp-v1",
        "Pendulum-v1",
        "Acrobot-v1",
        "MountainCar-v0",
        "MountainCarContinuous-v0",
        "CartPoleContinuous-v0",
        "CartPoleContinuous-v1",
        "CartPolePixelsEnv-v0",
        "CartPolePixelsEnv-v1",
        "LineMDP-v0",
        "LineMDPContinuous-v0",
        "2DMDPContinuous-v0",
        "DebugV-v0",
    ),
    "box2d": ("LunarLander-v3", "LunarLanderContinuous-v3", "BipedalWalker-v3"),
    "mujoco": (
        "Ant-v4",
        "Ant-v5",
        "HalfCheetah-v5",
        "Hopper-v5",
        "Walker2d-v5",
        "Swimmer-v5",
        "SwimmerBBRLEnv-v0",
        "InvertedPendulum-v5",
    ),
    "pybullet": (
        "HalfCheetahBulletEnv-v0",
        "HopperBulletEnv-v0",
        "AntBulletEnv-v0",
        "Walker2DBulletEnv-v0",
        "InvertedPendulumSwingupBulletEnv-v0",
        "MinitaurBulletEnv-v0",
    ),
    "atari": ("PongNoFrameskip-v4", "ALE/Pong-v5"),
}


@dataclass(frozen=True)
class Entry:
    """What a user wants to know of an environment before making it."""

    name: str
    extra: str
    #: Spaces in words; None where the extra is not installed.
    observation: str | None
    action: str | None


def list_environments() -> list[Entry]:
    """Return an entry for each environment that is known to work, by making it."""
    entries = []
    for extra, names in ENVIRONMENTS.items():
        for name in names:
            try:
                env = make_env(name)
            except MissingDependencyError:
                entries.append(Entry(name, extra, None, None))
                continue
            entries.append(Entry(name, extra, describe_space(env.observation_space), describe_space(env.action_space)))
            env.close()
    return entries


def describe_space(space: gym.Space[Any]) -> str:
    """Return a space in a few words."""
    if isinstance(space, gym.spaces.Discrete):
        return f"{space.n} choices"
    if isinstance(space, gym.spaces.Box):
        size = " x ".join(map(str, space.shape)) or "1"
        if space.dtype == np.uint8:
            return f"{size} image"
        low, high = np.unique(space.low), np.unique(space.high)
        bounds = f" in [{low[0]:.3g}, {high[0]:.3g}]" if len(low) == len(high) == 1 and np.isfinite(high[0]) else ""
        return f"{size} number{'' if size == '1' else 's'}{bounds}"
    return str(space)
