"""Stochastic policies: one for each kind of actions, for algorithms that learn from what they chose themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from workspace_rl.agents.actors import LOG_STD_MAX, LOG_STD_MIN
from workspace_rl.agents.distributions import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    SquashedGaussian,
)
from workspace_rl.agents.networks import OutputLayer, full_precision, orthogonal, run_layers
from workspace_rl.agents.perceptron_agent import ObservationOptions
from workspace_rl.agents.stochastic_actor import ChoosingActor, ChoosingOptions, StochasticActor
from workspace_rl.basics.arguments import checked
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.errors import ConfigError, UnsupportedSpaceError


class CategoricalActor(ChoosingActor):
    """A policy for one choice of n: softmax of a perceptron's outputs; `action` is `[B]`, int64, counted from 0."""

    @checked(least={"n_actions": 1})
    def __init__(
        self,
        observation_size: int,
        hidden_sizes: Sequence[int],
        n_actions: int,
        **options: Unpack[ChoosingOptions],
    ) -> None:
        """Build a perceptron with one output for each of `n_actions`; for the options see `ChoosingActor`."""
        super().__init__(observation_size, hidden_sizes, n_actions, **options)

    def distribution(self, t: int | None = None, given: bool = True) -> Categorical:
        """Return the distribution of actions at step `t`, or, with `t=None`, of all steps, during a call."""
        return Categorical(self.logits(t, given))


class MultiCategoricalActor(ChoosingActor):
    """A policy for several choices, each by itself: `action` is `[B, *parts]`, int64, counted from 0.

    In the mask, `[B, n_outputs]`, and in the outputs the choices of all parts stand side by side.
    """

    positions: Tensor | None

    @checked()
    def __init__(
        self,
        observation_size: int,
        hidden_sizes: Sequence[int],
        counts: Sequence[Any],
        **options: Unpack[ChoosingOptions],
    ) -> None:
        """Build a perceptron with one output for each choice of each part.

        Args:
            observation_size: how many numbers it reads.
            hidden_sizes: of its hidden layers.
            counts: how many choices each part has: numbers, or, where parts stand in rows and columns, lists of them,
                as `space.nvec.tolist()` gives.
            **options: see `ChoosingActor`.

        Raises:
            ConfigError: the counts are no whole numbers of at least 1, or their lists are of different lengths.
        """
        each = _whole_numbers(counts)
        super().__init__(observation_size, hidden_sizes, int(each.sum()), **options)
        self.parts, self.most = tuple(each.shape), int(each.max())
        # Parts with fewer choices than others are filled up with some that are never taken.
        places = [part * self.most + torch.arange(int(count)) for part, count in enumerate(each.flatten())]
        positions = torch.cat(places) if bool((each < self.most).any()) else None
        self.register_buffer("positions", positions, persistent=False)

    def distribution(self, t: int | None = None, given: bool = True) -> Categorical:
        """Return the distribution of actions at step `t`, or, with `t=None`, of all steps, during a call."""
        return Categorical(self.logits(t, given), len(self.parts))

    def arranged(self, row: Tensor) -> Tensor:
        """Return a row for all choices, `[*L, n_outputs]`, as `[*L, *parts, most]`."""
        if self.positions is not None:
            nothing = torch.finfo(row.dtype).min if row.is_floating_point() else False
            filled = row.new_full((*row.shape[:-1], math.prod(self.parts) * self.most), nothing)
            row = filled.index_copy(-1, self.positions, row)
        return row.reshape(*row.shape[:-1], *self.parts, self.most)


class BernoulliActor(ChoosingActor):
    """A policy for choices between 0 and 1, each by itself: `action` is `[B, *parts]`, int64.

    The mask, `[B, n_outputs]`, says where 1 is allowed.
    """

    needs_allowed = False

    @checked(least={"n": 1})
    def __init__(
        self,
        observation_size: int,
        hidden_sizes: Sequence[int],
        n: int | Sequence[int],
        **options: Unpack[ChoosingOptions],
    ) -> None:
        """Build a perceptron with the log-odds of 1 as outputs.

        Args:
            observation_size: how many numbers it reads.
            hidden_sizes: of its hidden layers.
            n: how many choices there are, or the shape in which they stand.
            **options: see `ChoosingActor`.
        """
        parts = (n,) if isinstance(n, int) else tuple(n)
        super().__init__(observation_size, hidden_sizes, math.prod(parts), **options)
        self.parts = parts

    def distribution(self, t: int | None = None, given: bool = True) -> Bernoulli:
        """Return the distribution of actions at step `t`, or, with `t=None`, of all steps, during a call."""
        return Bernoulli(self.logits(t, given), len(self.parts))

    def arranged(self, row: Tensor) -> Tensor:
        """Return a row for all choices, `[*L, n_outputs]`, as `[*L, *parts]`."""
        return row.reshape(*row.shape[:-1], *self.parts)


class GaussianActor(StochasticActor):
    """A policy for a vector of numbers: a Gaussian whose means are a perceptron's outputs; `action` is `[B, A]`.

    The standard deviations are numbers of their own, learned for all states alike, or outputs as well. Actions have no
    bounds, so that the environment clips them (`GymAgent(..., clip_actions=True)`), unless they are squashed by tanh to
    (-1, 1): then `action_unsquashed` is written, too, and read when the action is given, since nothing gives back what
    tanh has rounded away. The entropy of squashed actions is an estimate (see `SquashedGaussian`).
    """

    @checked(least={"action_size": 1})
    def __init__(
        self,
        observation_size: int,
        hidden_sizes: Sequence[int],
        action_size: int,
        *,
        state_dependent_std: bool = False,
        squash: bool = False,
        log_std_init: float = 0.0,
        **options: Unpack[ObservationOptions],
    ) -> None:
        """Build a perceptron with one output for each component, its mean.

        Args:
            observation_size: how many numbers it reads.
            hidden_sizes: of its hidden layers.
            action_size: how many components an action has, A.
            state_dependent_std: whether standard deviations depend on the state, within e^-20 and e^2.
            squash: whether actions are squashed by tanh.
            log_std_init: the logarithm of the standard deviations at first.
            **options: see `PerceptronAgent`.
        """
        super().__init__(observation_size, hidden_sizes, action_size, **options)
        self.squash = squash
        self.log_std: nn.Linear | nn.Parameter
        if state_dependent_std:
            self.log_std = orthogonal(OutputLayer(self.head.in_features, action_size), 0.01)
            nn.init.constant_(self.log_std.bias, log_std_init)
        else:
            self.log_std = nn.Parameter(torch.full((action_size,), float(log_std_init)))

    @property
    def given_variables(self) -> tuple[str, ...]:
        """The names of the variables that are read when the action is given, besides the observation."""
        return ("action_unsquashed",) if self.squash else ("action",)

    def distribution(self, t: int | None = None, given: bool = True) -> DiagonalGaussian:
        """Return the distribution at step `t`, or, with `t=None`, of all steps, during a call."""
        features = self.features(t)
        mean = full_precision(run_layers(self.head, features))
        if isinstance(self.log_std, nn.Linear):
            log_std = full_precision(self.log_std(features)).clamp(LOG_STD_MIN, LOG_STD_MAX)
        else:
            log_std = full_precision(self.log_std)
        return (SquashedGaussian if self.squash else DiagonalGaussian)(mean, log_std)

    def action_of(self, choice: Tensor) -> Tensor:
        """Return the action that a choice stands for."""
        return torch.tanh(choice) if self.squash else choice

    def write_choice(self, t: int | None, choice: Tensor) -> None:
        """Write what was chosen, and, if it is squashed, the action that comes of it."""
        self.set("action", t, self.action_of(choice))
        if self.squash:
            self.set("action_unsquashed", t, choice)


@checked(least={"hidden_sizes": 1, "observation_size": 1})
def make_actor(
    env_agent: GymAgent,
    hidden_sizes: Sequence[int],
    *,
    observation_variable: str = "env/env_obs",
    observation_size: int | None = None,
    observation_choices: Sequence[Sequence[int]] | None = None,
    mask_variable: str | None = None,
    state_dependent_std: bool = False,
    squash: bool = False,
    log_std_init: float = 0.0,
    activation: type[nn.Module] = nn.Tanh,
    name: str | None = None,
) -> StochasticActor:
    """Return the policy for the action space of `env_agent`.

    That is a `CategoricalActor` for `Discrete`, a `MultiCategoricalActor` for `MultiDiscrete`, a `BernoulliActor` for
    `MultiBinary`, and a `GaussianActor` for `Box` spaces.

    Args:
        env_agent: the environments.
        hidden_sizes: of the policy's hidden layers.
        observation_variable: what the policy reads.
        observation_size: how many numbers that has, if it is not the environments' observation; None takes size and
            choices from them.
        observation_choices: for what is of choices (see `GymAgent.observation_choices`); with `observation_size` only.
        mask_variable: says which choices are allowed; for choices only.
        state_dependent_std: see `GaussianActor`; this, and what follows, is for numbers only, and else ignored.
        squash: see `GaussianActor`.
        log_std_init: see `GaussianActor`.
        activation: stands after each hidden layer.
        name: the agent's name.

    Raises:
        UnsupportedSpaceError: actions are no vectors, or have no choices that a mask could forbid.
    """
    if observation_size is None:
        observation_size, observation_choices = env_agent.observation_size, env_agent.observation_choices
    reading: ObservationOptions = {
        "activation": activation,
        "observation_variable": observation_variable,
        "observation_choices": observation_choices,
        "name": name,
    }
    space: Any = env_agent.action_space
    kind, sizes = env_agent.action_kind, (observation_size, hidden_sizes)
    if kind == "discrete":
        return CategoricalActor(*sizes, env_agent.action_size, mask_variable=mask_variable, **reading)
    if kind == "multi-discrete":
        return MultiCategoricalActor(*sizes, space.nvec.tolist(), mask_variable=mask_variable, **reading)
    if kind == "multi-binary":
        return BernoulliActor(*sizes, list(space.shape), mask_variable=mask_variable, **reading)
    if mask_variable is not None:
        raise UnsupportedSpaceError(
            f"actions of {space} are no choices of which the mask {mask_variable!r} could allow some. Leave it out."
        )
    of_numbers: dict[str, Any] = {"state_dependent_std": state_dependent_std, "squash": squash}
    return GaussianActor(*sizes, env_agent.action_size, log_std_init=log_std_init, **of_numbers, **reading)


def _whole_numbers(counts: Sequence[Any]) -> Tensor:
    """Return counts, numbers or lists of them, as a tensor.

    Raises:
        ConfigError: they are no whole numbers of at least 1, or do not stand in rows and columns.
    """
    try:
        each = np.asarray(counts)
    except ValueError:  # lists of different lengths
        each = np.asarray(None)
    if each.ndim == 0 or each.size == 0 or each.dtype.kind not in "iu" or each.min() < 1:
        raise ConfigError(
            f"counts: the number of choices of each part expected, found {counts!r}. Give whole numbers of at least 1, "
            "space.nvec.tolist()."
        )
    return torch.from_numpy(each.astype(np.int64))
