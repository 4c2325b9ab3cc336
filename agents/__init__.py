"""Ready-made agents: actors, critics, values, exploration, and the networks they are made of.

- `actors`: policies for continuous actions.
- `stochastic_actors`: stochastic policies, one for each kind of actions, and the one for an environment.
- `stochastic_actor`: what they have in common.
- `actor_critic`: such a policy and the value beside it.
- `distributions`: what they draw from.
- `masks`: which actions are allowed.
- `critics`: action values for continuous actions.
- `values`: values of states, and features that are shared.
- `perceptron_agent`: what policies and values have in common.
- `q_networks`: action values for discrete actions.
- `transfer`: features that are taken over from another run.
- `discrete_policies`: policies that choose among discrete actions by their values.
- `state_dependent_exploration`: a policy whose noise is a function of the state.
- `exploration`: actions chosen without looking, and noise on those of a policy.
- `entropy`: the entropy coefficient.
- `encoders`: what makes features of an observation, of one part or of many.
- `bodies`: networks that turn observations into features.
- `networks`: the networks that agents are made of.
- `blocks`: networks of hidden layers of one kind.
- `batch_renorm`: layers that normalise features by batches.
- `noisy`: linear layers with noise that is learned.
- `ensembles`: networks that are evaluated together.
- `observations`: what networks are given of observations that are no numbers.
- `memory`: agents that carry a state from step to step.
- `front`: what stands between environments and a network: encoders and memories.
- `fronts`: those of off-policy algorithms, with copies before target networks.
- `normalization`: observations and rewards brought to the same size by running statistics.
"""

from workspace_rl.agents.actor_critic import build_actor_critic
from workspace_rl.agents.actors import DeterministicActor, SquashedGaussianActor
from workspace_rl.agents.batch_renorm import BatchRenorm
from workspace_rl.agents.blocks import build_network
from workspace_rl.agents.bodies import ImpalaCNN, NatureCNN
from workspace_rl.agents.critics import ContinuousQAgent
from workspace_rl.agents.discrete_policies import EpsilonGreedyAgent, GreedyAgent, LinearSchedule
from workspace_rl.agents.distributions import squashed_gaussian_log_prob
from workspace_rl.agents.encoders import Encoder, EncoderAgent, make_encoder
from workspace_rl.agents.ensembles import Ensemble, EnsembleMLP
from workspace_rl.agents.entropy import FixedEntropyCoefficient, LearnedEntropyCoefficient
from workspace_rl.agents.exploration import GaussianNoiseAgent, OrnsteinUhlenbeckNoiseAgent, RandomAgent
from workspace_rl.agents.front import Front, build_front
from workspace_rl.agents.fronts import Fronts
from workspace_rl.agents.memory import GRUAgent, LSTMAgent, MemoryAgent, TransformerAgent, make_memory
from workspace_rl.agents.networks import build_mlp
from workspace_rl.agents.noisy import NoisyLinear
from workspace_rl.agents.normalization import Normalizers, ObservationNormalizer, RewardNormalizer
from workspace_rl.agents.q_networks import DiscreteQAgent, DuelingHead
from workspace_rl.agents.state_dependent_exploration import StateDependentExplorationActor
from workspace_rl.agents.stochastic_actors import (
    BernoulliActor,
    CategoricalActor,
    GaussianActor,
    MultiCategoricalActor,
    make_actor,
)
from workspace_rl.agents.values import FeaturesAgent, ValueAgent

__all__ = [
    "BatchRenorm",
    "BernoulliActor",
    "CategoricalActor",
    "ContinuousQAgent",
    "DeterministicActor",
    "DiscreteQAgent",
    "DuelingHead",
    "Encoder",
    "EncoderAgent",
    "Ensemble",
    "EnsembleMLP",
    "EpsilonGreedyAgent",
    "FeaturesAgent",
    "FixedEntropyCoefficient",
    "Front",
    "Fronts",
    "GRUAgent",
    "GaussianActor",
    "GaussianNoiseAgent",
    "GreedyAgent",
    "ImpalaCNN",
    "LSTMAgent",
    "LearnedEntropyCoefficient",
    "LinearSchedule",
    "MemoryAgent",
    "MultiCategoricalActor",
    "NatureCNN",
    "NoisyLinear",
    "Normalizers",
    "ObservationNormalizer",
    "OrnsteinUhlenbeckNoiseAgent",
    "RandomAgent",
    "RewardNormalizer",
    "SquashedGaussianActor",
    "StateDependentExplorationActor",
    "TransformerAgent",
    "ValueAgent",
    "build_actor_critic",
    "build_front",
    "build_mlp",
    "build_network",
    "make_actor",
    "make_encoder",
    "make_memory",
    "squashed_gaussian_log_prob",
]
