"""What a run can be told about its environment: the section `gym_env`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from workspace_rl.config.schema import option
from workspace_rl.envs.contract.infos import InfoKeys
from workspace_rl.envs.simulators.atari import AtariOptions
from workspace_rl.envs.wrappers import normalised
from workspace_rl.errors import ConfigError


@dataclass
class EnvironmentConfig:
    """The environment."""

    env_name: str = option("", "gymnasium id, e.g. 'Pendulum-v1'; 'your_module:YourEnv-v0' imports your_module first")
    env_args: dict[str, Any] = option(dict, "further arguments of the environment's constructor")
    wrappers: list[Any] = option(
        list,
        "put around each environment in this order: names of gymnasium's wrappers, such as FlattenObservation, or of "
        "classes in modules of yours, or {classname: ..., argument: value}",
    )
    max_episode_steps: int | None = option(
        None, "steps after which an episode is cut (truncated), instead of the environment's own limit", least=1
    )
    vectorization: str | None = option(
        None,
        "how environments are stepped together; the fastest way for Atari games, 'sync' for others, unless given",
        choices=("sync", "async", "vector_entry_point"),
    )
    single_instance: bool = option(
        False, "the simulator can be open only once: that of training is closed while a policy is scored"
    )
    clip_actions: bool = option(False, "clip actions that are out of bounds instead of stopping with an error")
    timeout: float | None = option(
        300.0,
        "seconds for a step or a reset of environments in other processes (async, collectors); null for no limit",
        above=0,
        instead=" null means no limit.",
    )
    allow_nonfinite_observations: bool = option(
        False, "let NaN and infinity pass in observations instead of stopping; for agents that handle them"
    )
    info_keys: dict[str, Any] = option(
        dict,
        "keys of info that become variables env/info/KEY: {action_mask: {shape: [4], dtype: bool}}",
    )
    atari: dict[str, Any] | None = option(
        None, "an Atari game's preprocessing, {} for the standard one (workspace_rl.envs.simulators.atari.AtariOptions)"
    )

    def check(self, path: str) -> None:
        """Raise a `ConfigError` if there is no name, or an option of the Atari preprocessing is impossible."""
        if not self.env_name:
            raise ConfigError(f"{path}env_name: an environment's id expected, for instance 'Pendulum-v1'; none found.")
        self.wrappers = normalised(self.wrappers, path)
        InfoKeys.of(self.info_keys, f"{path}info_keys")
        if self.max_episode_steps is not None and "max_episode_steps" in self.env_args:
            raise ConfigError(
                f"{path}max_episode_steps and {path}env_args.max_episode_steps: one limit expected, two found. "
                "Remove the latter."
            )
        if self.wrappers and self.vectorization == "vector_entry_point":
            raise ConfigError(
                f"{path}wrappers: the environments of vectorization 'vector_entry_point' are stepped all at once and "
                "cannot be wrapped one by one. Use vectorization sync or async, or null."
            )
        self.constructor_arguments()

    def constructor_arguments(self, *, scoring: bool = False) -> dict[str, Any]:
        """Return what `make_env` is given besides the name; for `scoring`, without what is for learning only."""
        limit = {} if self.max_episode_steps is None else {"max_episode_steps": self.max_episode_steps}
        if self.atari is None:
            return {**self.env_args, **limit}
        options = AtariOptions.of(self.atari)
        if self.max_episode_steps is not None:
            frames = self.max_episode_steps * options.frame_skip
            options = dataclasses.replace(options, max_frames_per_episode=frames)
        if scoring:
            options = dataclasses.replace(options, terminal_on_life_loss=False, reward_clipping=False)
        return {**self.env_args, "atari": options}

    @property
    def stacked(self) -> dict[str, int]:
        """Observations that are stacks of the last pictures, and of how many (see `ReplayBuffer`)."""
        # What wrappers make of a stack need not be one any more.
        plain = self.atari is not None and not self.wrappers
        return {"env/env_obs": AtariOptions.of(self.atari or {}).frame_stack} if plain else {}
