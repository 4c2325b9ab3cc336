"""`bbrl.utils.distributions`: those of stable-baselines3, which BBRL's are a copy of."""

from workspace_rl.errors import MissingDependencyError

try:
    from stable_baselines3.common.distributions import *  # noqa: F403
except ImportError as error:
    raise MissingDependencyError(
        "bbrl.utils.distributions are those of stable-baselines3: pip install stable-baselines3"
    ) from error
