"""What is known of an agent's environments: their spaces, sizes and facts; their pictures, and their end."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import SyncVectorEnv, VectorEnv

from workspace_rl.agent import Agent
from workspace_rl.envs.contract.checked_vector import CheckedVector
from workspace_rl.envs.contract.failures import failure
from workspace_rl.envs.contract.infos import InfoKeys
from workspace_rl.envs.facts import EnvironmentFacts, facts_of
from workspace_rl.envs.gym_agent.episodes import Episodes
from workspace_rl.envs.gym_agent.failures import place
from workspace_rl.envs.gym_agent.frames import Frames
from workspace_rl.envs.gym_agent.making import Maker
from workspace_rl.envs.rendering import pictures
from workspace_rl.envs.spaces.observations import space_leaves
from workspace_rl.envs.spaces.observed import Observed, observed
from workspace_rl.envs.spaces.parts import Part, observation_parts
from workspace_rl.envs.spaces.sizes import (
    action_choices,
    action_kind,
    action_size,
    observation_choices,
    observation_size,
)
from workspace_rl.envs.vector.async_envs import AsyncEnvs
from workspace_rl.errors import CompositionError, EnvironmentFailedError


class EnvironmentsAgent(Agent):
    """An agent that has environments, and can be asked about them."""

    vector_env: VectorEnv[Any, Any, Any]
    #: Put before the names of all variables that are written.
    output_prefix: str
    #: The number of environments.
    n_envs: int
    #: Of one environment.
    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    #: What is written of infos.
    info_keys: InfoKeys
    _maker: Maker
    _episodes: Episodes | None
    _frames: Frames

    @property
    def label(self) -> str:
        """What the environment is called in messages."""
        return self._maker.label

    def facts(self) -> EnvironmentFacts:
        """Return what is known of the environments: their time limit, and wrappers with a memory."""
        if isinstance(self.vector_env, AsyncEnvs):
            return self.vector_env.call("facts")[0]  # type: ignore[no-any-return]
        given = self.vector_env.env if isinstance(self.vector_env, CheckedVector) else self.vector_env
        return facts_of(given.envs[0] if isinstance(given, SyncVectorEnv) else given)

    @property
    def observation_size(self) -> int:
        """The number of a network's inputs: the features of a vector, or, one-hot, an observation's choices.

        Raises:
            UnsupportedSpaceError: the observation is neither a vector of numbers nor choices.
        """
        return observation_size(self.observation_space)

    @property
    def observation_choices(self) -> list[list[int]] | None:
        """Least value and count of each choice that an observation consists of; None if it is of numbers."""
        return observation_choices(self.observation_space)

    def observed(self, mask_variable: str | None = None) -> Observed:
        """Return what networks read: the observation, or, where it is a mask and one other part, that part.

        Raises:
            UnsupportedSpaceError: more than one part, or none, is left beside the mask.
        """
        return observed(self.observation_space, f"{self.output_prefix}env_obs", mask_variable)

    def observation_parts(self, mask_variable: str | None = None) -> list[Part]:
        """Return what is to be known of each part of the observation, a mask left out: one where it has no parts.

        Encoders are built with them.

        Raises:
            UnsupportedSpaceError: networks do not read a part, or nothing is left beside the mask.
        """
        return observation_parts(self.observation_space, f"{self.output_prefix}env_obs", mask_variable)

    @property
    def action_size(self) -> int:
        """The number of a network's outputs for an action.

        One for each component of a continuous action or of a `MultiBinary` one, one for each choice of discrete ones;
        those of all parts of a `MultiDiscrete` one together (see `action_choices`).

        Raises:
            UnsupportedSpaceError: the action is none of these.
        """
        return action_size(self.action_space)

    @property
    def action_choices(self) -> list[int] | None:
        """How many choices each part of an action has, 2 each for `MultiBinary`; None if it is of numbers."""
        return action_choices(self.action_space)

    @property
    def action_kind(self) -> str:
        """The kind of actions.

        It is "continuous" (a vector), "discrete" (one choice), "multi-discrete" (several), or "multi-binary" (several
        zeros and ones).
        """
        return action_kind(self.action_space)

    @property
    def episode_returns(self) -> np.ndarray:
        """The returns so far of the running episodes, or of those that are over, `[B]` float64.

        Unlike `env/cumulated_reward` these are exact to 16 digits: a sum of float32 stays at 16,777,216 forever when 1
        is added to it.

        Raises:
            CompositionError: the environments have not been reset yet.
        """
        if self._episodes is None:
            raise CompositionError(f"{self.description()} has not been run yet: it has no episodes.")
        return self._episodes.cumulated_reward.copy()

    @property
    def observation_names(self) -> list[str]:
        """The names of the variables that hold the observation."""
        return [self.output_prefix + name for name in self._frames.observation_names]

    def layouts(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Return shape and dtype of the observation's variables, and of those from infos, in one environment."""
        leaves = space_leaves(self.observation_space, f"{self.output_prefix}env_obs")
        written = {name: (tuple(leaf.shape or ()), np.dtype(leaf.dtype)) for name, (leaf, _) in leaves.items()}
        named = {f"{self.output_prefix}info/{key.name}": (key.shape, key.dtype) for key in self.info_keys}
        return written | named

    def render(self) -> list[Any]:
        """Return what each environment draws: a picture, usually `[H, W, 3]` uint8, or a list of pictures.

        `record_video` makes a film of other kinds of pictures, too (see `workspace_rl.films.pictures.Pictures`).

        Raises:
            RenderingError: the environments were not made with `env_args={"render_mode": "rgb_array"}`, or drawing
                raised an exception.
        """
        return pictures(self.vector_env, self.description())

    def close(self) -> None:
        """Close the environments; what one of them raises meanwhile is warned of, and matters no further."""
        n_envs = self.vector_env.num_envs
        failed: list[EnvironmentFailedError] = getattr(self.vector_env, "close_failures", [])
        try:
            self.vector_env.close()
        except (Exception, SystemExit) as error:
            failed.append(failure(error, 0 if n_envs == 1 else None))
        while failed:
            one = failed.pop(0)
            where = self._place(one.index, n_envs)
            warnings.warn(f"{where}, while it was closed: {one}", RuntimeWarning, stacklevel=2)

    def _place(self, index: int | None, n_envs: int | None = None) -> str:
        return place(self.description(), self.label, n_envs or self.n_envs, index)
