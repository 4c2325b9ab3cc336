"""What hindsight needs of a run, looked at before anything starts."""

from __future__ import annotations

from typing import Any

from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.envs.goals import GoalRewards
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.envs.make_env import make_env
from workspace_rl.envs.wrappers import find_wrappers
from workspace_rl.errors import ConfigError

_GOALS = ("env/env_obs/achieved_goal", "env/env_obs/desired_goal")


def goal_rewards(config: EnvironmentConfig, env_agent: GymAgent, seed: int) -> GoalRewards:
    """Return what computes rewards of other goals: an environment of its own, which is kept until it is closed.

    Raises:
        ConfigError: the environment has no goals, does not tell their rewards, or can be open only once.
    """
    _require_goals(env_agent)
    if config.single_instance:
        raise ConfigError(
            "algorithm.hindsight: null expected with gym_env.single_instance, since rewards of other goals are "
            "computed by an environment of their own; a section found."
        )
    env = make_env(config.env_name, find_wrappers(config.wrappers), **config.constructor_arguments())
    try:
        return GoalRewards(env, env_agent.label, seed)
    except Exception:
        env.close()
        raise


def _require_goals(env_agent: GymAgent) -> None:
    layouts: dict[str, Any] = {name: env_agent.layouts()[name] for name in env_agent.observation_names}
    refused = f"algorithm.hindsight: null expected, since the observation of {env_agent.label}"
    missing = [name.rpartition("/")[2] for name in _GOALS if name not in layouts]
    if missing:
        raise ConfigError(
            f"{refused} has no {' and no '.join(missing)}; a section found. It consists of {', '.join(layouts)}. A "
            "dictionary with observation, achieved_goal and desired_goal is expected, which no wrapper flattens."
        )
    achieved, desired = (layouts[name] for name in _GOALS)
    if achieved != desired:
        raise ConfigError(
            f"{refused} has an achieved_goal of {achieved[1]} {list(achieved[0])} and a desired_goal of {desired[1]} "
            f"{list(desired[0])}; one of the same shape and dtype as the other is expected, since it takes its place."
        )
