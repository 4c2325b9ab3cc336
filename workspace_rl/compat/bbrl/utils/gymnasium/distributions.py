"""`bbrl.utils.gymnasium.distributions`."""

from workspace_rl.compat.bbrl.utils.distributions import *  # noqa: F403
