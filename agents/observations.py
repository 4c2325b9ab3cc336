"""What networks are given of observations that are no floating-point numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workspace_rl.agent import Agent
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.errors import CompositionError


class OneHot(nn.Module):
    """Turns choices into numbers that are 0 or 1: `[B, ...]` whole numbers to `[B, sum of counts]` floats.

    Over time, `[T, B, ...]` become `[T, B, sum of counts]`.

    Where an observation is several choices, their parts stand side by side. A number that is none of its choices
    gives zeros only. There is nothing to learn, and nothing to save, in it.
    """

    column: Tensor
    value: Tensor
    like: Tensor

    def __init__(self, choices: Sequence[Sequence[int]]) -> None:
        """Take, for each number of an observation, its least value and how many values it may have."""
        super().__init__()
        columns = [torch.full((count,), column) for column, (_, count) in enumerate(choices)]
        self.n_columns = len(choices)
        self.register_buffer("column", torch.cat(columns), persistent=False)
        values = [torch.arange(least, least + count) for least, count in choices]
        self.register_buffer("value", torch.cat(values), persistent=False)
        # Has the type of number that `agent.double()` and the like give to all weights.
        self.register_buffer("like", torch.zeros(1), persistent=False)

    def forward(self, observation: Tensor, leading: int = 1) -> Tensor:
        """Return `[B, sum of counts]` of `[B, ...]`, or, with two `leading` dimensions, `[T, B, sum of counts]`."""
        numbers = observation.reshape(*observation.shape[:leading], self.n_columns)
        return (numbers[..., self.column] == self.value).to(self.like.dtype)


def one_hot(choices: Sequence[Sequence[int]] | None, size: int, agent: str) -> OneHot | None:
    """Return what encodes observations of these choices into `size` numbers; None where they are numbers already.

    Raises:
        CompositionError: they are no pairs, or make another number of inputs.
    """
    if choices is None:
        return None
    if any(len(one) != 2 or one[1] < 1 for one in choices):
        raise CompositionError(
            f"{agent}: observation_choices: the least value and the count of each choice expected, found "
            f"{[list(one) for one in choices]}. Give env_agent.observation_choices."
        )
    if sum(count for _, count in choices) != size:
        raise CompositionError(
            f"{agent}: the observation_choices {[list(one) for one in choices]} (least value and count of each) make "
            f"{sum(count for _, count in choices)} inputs, but observations of {size} were announced. Give "
            "env_agent.observation_size and env_agent.observation_choices of the same environment."
        )
    return OneHot(choices)


def network_input(
    observation: Tensor, encoder: OneHot | None, agent: Agent, weight: Tensor, leading: int = 1
) -> Tensor:
    """Return an observation as floats `[B, ...]` like a network's `weight`: choices one-hot, other numbers as they are.

    Observations of all time, `[T, B, ...]`, have two `leading` dimensions.

    Raises:
        CompositionError: it is one whole number for each environment, and the agent does not know of which choices.
    """
    if encoder is None and observation.dtype is weight.dtype:
        return observation
    if encoder is not None:
        return encoder(observation, leading)  # type: ignore[no-any-return]
    if observation.ndim <= leading and not observation.is_floating_point():
        raise CompositionError(
            f"{agent.name} reads observations that are choices ({observation.dtype} of shape "
            f"{list(observation.shape)}), and was built for vectors. Build it with "
            "observation_size=env_agent.observation_size and "
            "observation_choices=env_agent.observation_choices; it then encodes them one-hot."
        )
    return observation.to(weight.dtype)


def encoding_of(env_agent: GymAgent, mask_variable: str | None = None) -> dict[str, Any]:
    """Return what agents that read the observations of `env_agent` are told of them besides the size.

    Where these are a mask, `mask_variable`, and one other part, they read that part. Several parts are for encoders.
    """
    if len(set(env_agent.observation_names) - {mask_variable}) != 1:
        return {}
    observed = env_agent.observed(mask_variable)
    variable = {} if observed.variable == "env/env_obs" else {"observation_variable": observed.variable}
    return variable if observed.choices is None else {"observation_choices": observed.choices, **variable}
