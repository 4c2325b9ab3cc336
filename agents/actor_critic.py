"""A policy that draws its actions and the value beside it, as on-policy algorithms have them."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import torch
from torch import nn

from workspace_rl.agent import Agent
from workspace_rl.agents.bodies import DEFAULT_HIDDEN_SIZES, IMAGE_NETWORKS
from workspace_rl.agents.front import build_front
from workspace_rl.agents.normalization import Normalizers, RewardNormalizer
from workspace_rl.agents.stochastic_actors import make_actor
from workspace_rl.agents.values import FeaturesAgent, ValueAgent
from workspace_rl.composition import Agents, KWAgentWrapper
from workspace_rl.config import OnPolicyArchitecture, OnPolicyConfig
from workspace_rl.envs.gym_agent import GymAgent

_ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


class ActorCritic(NamedTuple):
    """What on-policy algorithms are made of."""

    #: What acts and learns: writes actions, and the value where there is one.
    policy: Agent
    #: What is evaluated: the same actor, which takes its likeliest action.
    eval_policy: Agent
    #: What brings rewards to one size before they are learned from.
    reward_normalizer: RewardNormalizer | None

    def to(self, device: torch.device) -> Self:
        """Move all to a device."""
        for agent in self:
            if agent is not None:
                agent.to(device)
        return self


def build_actor_critic(env_agent: GymAgent, parameters: OnPolicyConfig, *, value: bool = True) -> ActorCritic:
    """Return the agents for an environment.

    Actor and value have each a front (see `build_front`) and a body of their own, or, with `architecture.shared`, the
    same ones.

    Args:
        env_agent: whose observations are read, and whose actions are written.
        parameters: the networks, what is normalised, and which variable says what actions are allowed.
        value: whether a value stands beside the actor.

    Raises:
        UnsupportedSpaceError: networks of this kind cannot read the observations, or there is no policy for the
            actions.
        ConfigError: encoder, memory and network do not go together.
    """
    sizes, normalizers = parameters.architecture, Normalizers.of(parameters, env_agent)
    activation = _ACTIVATIONS[sizes.activation]
    seen, reads = _features(env_agent, parameters, normalizers)
    seen_by_value: list[Agent] = []
    value_reads = reads
    if value and not sizes.shared:
        seen_by_value, value_reads = _features(env_agent, parameters, normalizers, "value")
    actor = make_actor(
        env_agent,
        mask_variable=parameters.action_mask,
        state_dependent_std=sizes.state_dependent_std,
        squash=sizes.squash,
        log_std_init=sizes.log_std_init,
        activation=activation,
        name="actor",
        **reads,
    )
    front = [*([] if normalizers.observations is None else [normalizers.observations]), *seen]
    behind: list[Agent] = []
    if value:
        behind = [*seen_by_value, ValueAgent(activation=activation, name="value", **value_reads)]
    return ActorCritic(
        Agents(*front, actor, *behind),
        KWAgentWrapper(Agents(*front, actor) if front else actor, stochastic=False),
        normalizers.rewards,
    )


def _features(
    env_agent: GymAgent, parameters: OnPolicyConfig, normalizers: Normalizers, name: str = ""
) -> tuple[list[Agent], dict[str, Any]]:
    """Return the agents before a policy or value, a front and a body, if there are any, and what it is told of them."""
    sizes = parameters.architecture
    variable = f"{name}_features" if name else "features"
    front = build_front(
        env_agent,
        sizes,
        normalizers,
        mask_variable=parameters.action_mask,
        features_variable=variable,
        name=name,
    )
    images = sizes.network in IMAGE_NETWORKS
    hidden_sizes = _hidden_sizes(sizes)
    if not images and (not sizes.shared or (front.agents and not hidden_sizes)):
        return [*front.agents], {"hidden_sizes": hidden_sizes, "observation_size": front.size, **front.reads}
    body = FeaturesAgent(
        front.shape,
        hidden_sizes,
        network=sizes.network,
        activation=None if images else _ACTIVATIONS[sizes.activation],
        features_variable="body" if front.agents else variable,
        name="body" if front.agents else variable,
        **front.reads,
    )
    return [*front.agents, body], {
        "hidden_sizes": [],
        "observation_size": body.n_features,
        "observation_variable": body.features_variable,
    }


def _hidden_sizes(sizes: OnPolicyArchitecture) -> list[int]:
    """Return the units of a body's linear layers."""
    if sizes.hidden_size is not None:
        return sizes.hidden_size
    return list(DEFAULT_HIDDEN_SIZES[sizes.network]) if sizes.network in IMAGE_NETWORKS else [64, 64]
