"""A policy that draws its actions and the value beside it, as on-policy algorithms have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import torch
from torch import nn

from workspace_rl.agent import Agent
from workspace_rl.agents.bodies import DEFAULT_HIDDEN_SIZES, IMAGE_NETWORKS
from workspace_rl.agents.normalization import Normalizers, RewardNormalizer
from workspace_rl.agents.stochastic_actors import make_actor
from workspace_rl.agents.values import FeaturesAgent, ValueAgent
from workspace_rl.composition import Agents, KWAgentWrapper
from workspace_rl.config import OnPolicyArchitecture, OnPolicyConfig
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.envs.spaces.observed import Observed

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

    Args:
        env_agent: whose observations are read, and whose actions are written.
        parameters: the networks, what is normalised, and which variable says what actions are allowed.
        value: whether a value stands beside the actor.

    Raises:
        UnsupportedSpaceError: networks of this kind cannot read the observations, or there is no policy for the
            actions.
    """
    sizes, normalizers = parameters.architecture, Normalizers.of(parameters, env_agent)
    activation = _ACTIVATIONS[sizes.activation]
    bodies, reads = _bodies(env_agent.observed(parameters.action_mask), sizes, normalizers.reads, value)
    actor = make_actor(
        env_agent,
        mask_variable=parameters.action_mask,
        state_dependent_std=sizes.state_dependent_std,
        squash=sizes.squash,
        log_std_init=sizes.log_std_init,
        activation=activation,
        name="actor",
        **reads["actor"],
    )
    front = [one for one in (normalizers.observations, bodies.get("actor")) if one is not None]
    behind: list[Agent] = [bodies["value"]] if "value" in bodies else []
    if value:
        behind.append(ValueAgent(activation=activation, name="value", **reads["value"]))
    return ActorCritic(
        Agents(*front, actor, *behind),
        KWAgentWrapper(Agents(*front, actor) if front else actor, stochastic=False),
        normalizers.rewards,
    )


def _bodies(
    observed: Observed, sizes: OnPolicyArchitecture, reads: Mapping[str, Any], value: bool
) -> tuple[dict[str, FeaturesAgent], dict[str, dict[str, Any]]]:
    """Return the agents that write features, if any do, and what actor and value are told of what they read."""
    images = sizes.network in IMAGE_NETWORKS
    default_sizes = DEFAULT_HIDDEN_SIZES[sizes.network] if images else (64, 64)
    hidden_sizes = list(default_sizes) if sizes.hidden_size is None else sizes.hidden_size
    if not images and not sizes.shared:
        heads = {"hidden_sizes": hidden_sizes, "observation_size": observed.size, **reads}
        return {}, {"actor": heads, "value": heads}
    shape = list(observed.space.shape or ()) if images else [observed.size]
    variables = {"actor": "features"} if sizes.shared or not value else {"actor": "features", "value": "value_features"}
    bodies = {
        who: FeaturesAgent(
            shape,
            hidden_sizes,
            network=sizes.network,
            activation=None if images else _ACTIVATIONS[sizes.activation],
            features_variable=variable,
            name=variable,
            **reads,
        )
        for who, variable in variables.items()
    }
    heads_of = {
        who: {
            "hidden_sizes": [],
            "observation_size": body.n_features,
            "observation_variable": body.features_variable,
        }
        for who, body in bodies.items()
    }
    return bodies, {"value": heads_of["actor"], **heads_of}
