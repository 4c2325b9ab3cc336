"""The environments that a configuration describes."""

from __future__ import annotations

from typing import Any

from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.envs.wrappers import find_wrappers
from workspace_rl.errors import ConfigError, EnvironmentFailedError, RenderingError

ONLY_ONE = (
    "If the simulator can be open only once: gym_env.single_instance=true with algorithm.n_envs=1 closes that of "
    "training while a policy is scored."
)


def make_env_agent(
    config: EnvironmentConfig, n_envs: int, *, auto_reset: bool, render: bool = False, **options: Any
) -> GymAgent:
    """Return the environments that a configuration describes, for training or for evaluation.

    Raises:
        RenderingError: `render` is asked of an environment that cannot draw itself.
    """
    env_args = config.constructor_arguments(scoring=not auto_reset) | ({"render_mode": "rgb_array"} if render else {})
    vectorization: Any = config.vectorization
    if render or (vectorization == "vector_entry_point" and config.atari is None and not auto_reset):
        # Other vector classes than that of Atari games cannot draw, and have no seed for each of their copies.
        vectorization = "sync"
    try:
        return GymAgent(
            config.env_name,
            n_envs,
            auto_reset=auto_reset,
            vectorization=vectorization,
            wrappers=find_wrappers(config.wrappers),
            env_args=env_args,
            clip_actions=config.clip_actions,
            timeout=config.timeout,
            allow_nonfinite_observations=config.allow_nonfinite_observations,
            info_keys=config.info_keys,
            **options,
        )
    except (EnvironmentFailedError, ConfigError) as error:
        refused = error.__cause__
        if render:  # without, it can be made
            raise RenderingError(f"environment {config.env_name!r} cannot draw itself ({refused or error}).") from error
        if not isinstance(error, EnvironmentFailedError) or not isinstance(refused, TypeError):
            if type(error) is EnvironmentFailedError and not config.single_instance and (n_envs > 1 or not auto_reset):
                error.args = (f"{error.args[0]} {ONLY_ONE}",)
            raise
        if config.max_episode_steps is not None and "max_episode_steps" in str(refused):
            raise ConfigError(
                f"gym_env.max_episode_steps: the class of {config.env_name!r} for gym_env.vectorization="
                f"{vectorization} takes no such limit ({refused}). Use vectorization sync or async."
            ) from refused
        raise ConfigError(f"gym_env.env_args: environment {config.env_name!r} refuses them: {refused}") from refused
