"""`bbrl.utils.distributions`: those of stable-baselines3, which BBRL's are a copy of, with BBRL's changes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from workspace_rl.errors import MissingDependencyError

try:
    from stable_baselines3.common import distributions as theirs
    from stable_baselines3.common.distributions import *  # noqa: F403
except ImportError as error:
    raise MissingDependencyError(
        "bbrl.utils.distributions are those of stable-baselines3: pip install stable-baselines3"
    ) from error


class DiagGaussianDistribution(theirs.DiagGaussianDistribution):  # type: ignore[no-redef]
    """A Gaussian with a diagonal covariance, which `make_distribution` gives its parameters."""

    mean_actions = log_std = None

    make_distribution = theirs.DiagGaussianDistribution.proba_distribution


class SquashedDiagGaussianDistribution(  # type: ignore[no-redef]
    theirs.SquashedDiagGaussianDistribution, DiagGaussianDistribution
):
    """Such a Gaussian, followed by tanh."""

    def entropy(self) -> Tensor:
        """Raise an error: it has no closed form, `-log_prob(action).mean()` is an estimate."""
        raise NotImplementedError(
            "the entropy of a squashed Gaussian has no closed form: take -log_prob(action).mean()"
        )

    def get_ten_samples(self) -> list[Tensor]:
        """Draw ten times."""
        return [self.sample() for _ in range(10)]


def make_proba_distribution(  # type: ignore[no-redef]
    action_space: Any, use_sde: bool = False, dist_kwargs: Any = None
) -> theirs.Distribution:
    """Return the distribution for a kind of actions."""
    made = theirs.make_proba_distribution(action_space, use_sde, dist_kwargs)
    if type(made) is theirs.DiagGaussianDistribution:
        return DiagGaussianDistribution(made.action_dim)
    return made
