"""The tensors that are written at each step, made of what a vector environment returned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from workspace_rl.envs.contract.infos import InfoKey
from workspace_rl.envs.gym_agent.episodes import Episodes, Frame
from workspace_rl.envs.spaces.observations import check_choices, observation_leaves, space_leaves
from workspace_rl.envs.spaces.sizes import observation_choices


class Frames:
    """Makes frames."""

    __slots__ = ("_choices", "_copy", "_device", "_info_keys", "_leaves")

    def __init__(
        self, space: gym.Space[Any], *, copy: bool, device: torch.device, info_keys: Iterable[InfoKey] = ()
    ) -> None:
        """Make frames with observations of a space, on a device.

        Args:
            space: of one environment.
            copy: whether the vector environment uses the memory of its observations again.
            device: where the tensors live.
            info_keys: of infos, what becomes variables "info/<key>".

        Raises:
            UnsupportedSpaceError: a leaf of the space is of a kind that has no arrays.
        """
        self._leaves = observation_leaves(space, "env_obs")
        leaves = space_leaves(space, "env_obs").items()
        self._choices = {name: leaf for name, (leaf, _) in leaves if observation_choices(leaf) is not None}
        self._copy, self._device, self._info_keys = copy, device, tuple(info_keys)

    @property
    def observation_names(self) -> list[str]:
        """The names of the observation's leaves."""
        return list(self._leaves)

    def make(
        self,
        episodes: Episodes,
        observation: Any,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: Any,
    ) -> Frame:
        """Return the frame of a step that `episodes` have counted, and keep it there.

        Raises:
            EnvironmentContractError: an observation of choices holds one that its space does not have, or what was
                asked for of infos is missing, or of another shape or dtype.
        """
        frame: Frame = {}
        for name, leaf in self._leaves.items():
            array = leaf(observation)
            if name in self._choices:
                check_choices(array, self._choices[name], name)
            frame[name] = torch.from_numpy(array.copy() if self._copy else array)
        frame["terminated"] = torch.from_numpy(terminated)
        frame["truncated"] = torch.from_numpy(truncated)
        frame["done"] = torch.from_numpy(episodes.done)
        frame["reward"] = torch.from_numpy(reward.astype(np.float32))
        frame["cumulated_reward"] = torch.from_numpy(episodes.cumulated_reward.astype(np.float32))
        frame["timestep"] = torch.from_numpy(episodes.timestep)
        for key in self._info_keys:
            frame[f"info/{key.name}"] = torch.from_numpy(key.of_all(infos, len(reward)))
        if self._device.type != "cpu":
            frame = {name: value.to(self._device, non_blocking=True) for name, value in frame.items()}
        episodes.frame = frame
        return frame
