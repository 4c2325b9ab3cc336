"""Ready-made agents: actors, critics, exploration, and the networks they are made of."""

from workspace_rl.agents.actors import SquashedGaussianActor, squashed_gaussian_log_prob
from workspace_rl.agents.critics import ContinuousQAgent
from workspace_rl.agents.entropy import FixedEntropyCoefficient, LearnedEntropyCoefficient
from workspace_rl.agents.exploration import RandomAgent
from workspace_rl.agents.networks import EnsembleMLP, build_mlp

__all__ = [
    "ContinuousQAgent",
    "EnsembleMLP",
    "FixedEntropyCoefficient",
    "LearnedEntropyCoefficient",
    "RandomAgent",
    "SquashedGaussianActor",
    "build_mlp",
    "squashed_gaussian_log_prob",
]
