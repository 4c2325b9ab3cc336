"""Environments that are known to work, by the extra that they need."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from workspace_rl.agents import make_encoder
from workspace_rl.algorithm.contract import action_kinds
from workspace_rl.algorithm.names import all_algorithms
from workspace_rl.envs.make_env import make_env
from workspace_rl.envs.providers import PROVIDERS
from workspace_rl.envs.spaces.actions import action_adapter
from workspace_rl.envs.spaces.parts import observation_parts
from workspace_rl.envs.spaces.sizes import action_kind, action_size, observation_size
from workspace_rl.errors import MissingDependencyError, UnsupportedSpaceError

#: Extra ("" for none) -> ids. All are tested; many others work as well.
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "": (
        "CartPole-v1",
        "CartPoleSwingUp-v1",
        "TMaze-v0",
        "Searchlight-v0",
        "PointReach-v0",
        "BitFlip-v0",
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
        "FrozenLake-v1",
        "CliffWalking-v1",
        "Taxi-v4",
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
    "goals": ("PandaReach-v3",),
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
    #: The algorithms that can learn it, and what they need to be told for that; None where it is not installed.
    algorithms: str | None


def list_environments() -> list[Entry]:
    """Return an entry for each environment that is known to work, by making it."""
    entries = []
    for extra, names in ENVIRONMENTS.items():
        for name in names:
            try:
                env = make_env(name)
            except MissingDependencyError:
                entries.append(Entry(name, extra, None, None, None))
                continue
            spaces = env.observation_space, env.action_space
            entries.append(
                Entry(name, extra, describe_space(spaces[0]), describe_space(spaces[1]), learned_by(name, *spaces))
            )
            env.close()
    return entries


def learned_by(name: str, observation: gym.Space[Any], action: gym.Space[Any]) -> str:
    """Return the algorithms that can learn an environment of these spaces, with the options that they need for it.

    "-" where there is none.
    """
    if isinstance(action, gym.spaces.Box):
        try:
            action_adapter(action, 1, rescale=True, clip=False)
        except UnsupportedSpaceError:
            return "-"
    try:
        action_size(action)
    except UnsupportedSpaceError:
        return "-"
    kind = action_kind(action)
    known = ", ".join(one for one, found in all_algorithms().items() if kind in action_kinds(found))
    if not known:
        return "-"
    try:
        observation_size(observation)
    except UnsupportedSpaceError:
        needed = _needed(name, observation)
        return f"{known} with {needed}" if needed else known
    return known


def _needed(name: str, observation: gym.Space[Any]) -> str:
    if any(re.fullmatch(one.pattern, name) for one in PROVIDERS if one.module == "ale_py"):
        return "gym_env.atari={}"
    try:
        make_encoder(observation_parts(observation, "env/env_obs"))
    except UnsupportedSpaceError:
        return "gym_env.wrappers=[FlattenObservation]"
    return ""  # an encoder comes by itself


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
