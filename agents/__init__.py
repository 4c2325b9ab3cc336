"""Ready-made agents: actors, critics, exploration, and the networks they are made of.

- `actors`: policies for continuous actions.
- `critics`: action values for continuous actions.
- `q_networks`: action values for discrete actions.
- `discrete_policies`: policies that choose among discrete actions by their values.
- `exploration`: actions chosen without looking, and noise on those of a policy.
- `entropy`: the entropy coefficient.
- `networks`: the networks that agents are made of.
- `observations`: what networks are given of observations that are no numbers.
- `normalization`: observations and rewards brought to the same size by running statistics.
"""

from workspace_rl.agents.actors import DeterministicActor, SquashedGaussianActor, squashed_gaussian_log_prob
from workspace_rl.agents.critics import ContinuousQAgent
from workspace_rl.agents.discrete_policies import EpsilonGreedyAgent, GreedyAgent, LinearSchedule
from workspace_rl.agents.entropy import FixedEntropyCoefficient, LearnedEntropyCoefficient
from workspace_rl.agents.exploration import GaussianNoiseAgent, OrnsteinUhlenbeckNoiseAgent, RandomAgent
from workspace_rl.agents.networks import EnsembleMLP, build_mlp
from workspace_rl.agents.normalization import Normalizers, ObservationNormalizer, RewardNormalizer
from workspace_rl.agents.q_networks import DiscreteQAgent, DuelingHead, NatureCNN

__all__ = [
    "ContinuousQAgent",
    "DeterministicActor",
    "DiscreteQAgent",
    "DuelingHead",
    "EnsembleMLP",
    "EpsilonGreedyAgent",
    "FixedEntropyCoefficient",
    "GaussianNoiseAgent",
    "GreedyAgent",
    "LearnedEntropyCoefficient",
    "LinearSchedule",
    "NatureCNN",
    "Normalizers",
    "ObservationNormalizer",
    "OrnsteinUhlenbeckNoiseAgent",
    "RandomAgent",
    "RewardNormalizer",
    "SquashedGaussianActor",
    "build_mlp",
    "squashed_gaussian_log_prob",
]
