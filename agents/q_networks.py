"""Action-value functions for discrete actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workspace_rl.agent import Agent
from workspace_rl.agents.bodies import IMAGE_NETWORKS, build_body
from workspace_rl.agents.networks import build_mlp, first_weight, full_precision
from workspace_rl.agents.observations import network_input, one_hot
from workspace_rl.basics.arguments import checked
from workspace_rl.errors import ConfigError
from workspace_rl.learning import atoms


class DuelingHead(nn.Module):
    """A value and an advantage stream, put together by equation 9 of Wang et al. 2016 (arXiv:1511.06581).

    Q(s, a) = V(s) + (A(s, a) - mean_a' A(s, a'))

    With `n_outputs` of each action, M, that is done for each of them (Hessel et al. 2018, arXiv:1710.02298).
    """

    @checked(least={"features": 1, "hidden_sizes": 1, "n_actions": 1, "n_outputs": 1})
    def __init__(
        self,
        features: int,
        hidden_sizes: Sequence[int],
        n_actions: int,
        activation: type[nn.Module] = nn.ReLU,
        *,
        n_outputs: int | None = None,
        noisy: bool = False,
    ) -> None:
        """Build two perceptrons with `hidden_sizes` over `features` inputs.

        Without `n_outputs` each action has one, and no dimension for it. The layers are `NoisyLinear` if `noisy`.
        """
        super().__init__()
        self.n_outputs = n_outputs
        each = n_outputs or 1
        self.value = build_mlp([features, *hidden_sizes, each], activation, noisy=noisy)
        self.advantage = build_mlp([features, *hidden_sizes, n_actions * each], activation, noisy=noisy)

    def forward(self, features: Tensor, **noise: bool) -> Tensor:
        """Return action values `[B, n_actions]`, or `[B, n_actions, M]`, of features `[B, features]`.

        Noisy ones are told by `stochastic` whether to draw.
        """
        value, advantage = self.value(features, **noise), self.advantage(features, **noise)
        if self.n_outputs is None:
            q_values: Tensor = value + (advantage - advantage.mean(-1, keepdim=True))
            return q_values
        advantage = advantage.unflatten(-1, (-1, self.n_outputs))
        outputs: Tensor = value.unsqueeze(-2) + (advantage - advantage.mean(-2, keepdim=True))
        return outputs


class DiscreteQAgent(Agent):
    """The values Q(s, a) of all actions: a `body`, which turns observations into features, and a `head` on top of it.

    Reads `observation_variable` (`[B, *observation_shape]`) at `t`; writes `<prefix>q_values` (`[B, n_actions]`) at
    `t`. The prefix is "q/" until `with_prefix` changes it. Body and head are modules of their own, so that either can
    be loaded or frozen by itself: `agent.body.requires_grad_(False)`.

    The head may write the distribution of returns Z(s, a), too, whose mean is then Q(s, a): with `n_atoms`, M, the
    probabilities of M values from `v_min` to `v_max` by their logits, `<prefix>logits` (`[B, n_actions, M]`, Bellemare
    et al. 2017, arXiv:1707.06887); with `n_quantiles`, M equally likely values, `<prefix>quantiles` (`[B, n_actions,
    M]`, Dabney et al. 2018, arXiv:1710.10044).

    If `noisy`, its linear layers are `NoisyLinear`: they draw at each call, unless it is made with `stochastic=False`.
    """

    @checked(
        least={
            "observation_shape": 1, "hidden_sizes": 1, "n_actions": 1, "head_hidden_sizes": 1, "n_atoms": 2,
            "n_quantiles": 1,
        }
    )  # fmt: skip
    def __init__(
        self,
        observation_shape: Sequence[int],
        hidden_sizes: Sequence[int] | None,
        n_actions: int,
        network: str = "mlp",
        dueling: bool = False,
        head_hidden_sizes: Sequence[int] = (),
        activation: type[nn.Module] = nn.ReLU,
        name: str | None = None,
        observation_choices: Sequence[Sequence[int]] | None = None,
        observation_variable: str = "env/env_obs",
        *,
        n_atoms: int | None = None,
        v_min: float = -10.0,
        v_max: float = 10.0,
        n_quantiles: int | None = None,
        noisy: bool = False,
    ) -> None:
        """Put body and head together.

        Args:
            observation_shape: (features,) for `network="mlp"`, (C, H, W) for those of images.
            hidden_sizes: of the body's linear layers; None for [256, 256] (mlp), [512] (nature_cnn) or [256]
                (impala_cnn).
            n_actions: the number of choices.
            network: "mlp", a perceptron for vectors, or for images "nature_cnn", `NatureCNN`, or "impala_cnn",
                `ImpalaCNN`.
            dueling: whether the head is a `DuelingHead` instead of a perceptron.
            head_hidden_sizes: hidden layers of the head, of each stream if it is dueling. The networks of Wang et al.
                for images are `network="nature_cnn", hidden_sizes=[], head_hidden_sizes=[512], dueling=True`.
            activation: stands after each hidden layer.
            name: the agent's name.
            observation_choices: for observations that are choices (`GymAgent.observation_choices`), which "mlp" is then
                given one-hot.
            observation_variable: the variable that observations are read from.
            n_atoms: of each distribution, whose probabilities are learned; None for none.
            v_min: the first atom.
            v_max: the last one.
            n_quantiles: of each distribution, which are learned; None for none.
            noisy: whether the linear layers of body and head are noisy.

        Raises:
            CompositionError: there is no such network, or the choices do not make up the observation's size.
            UnsupportedSpaceError: the network is not made for observations of this shape.
            ConfigError: there are both atoms and quantiles, or `v_max` is not above `v_min`.
        """
        super().__init__(name)
        self.with_prefix("q/")
        self.observation_variable = observation_variable
        self.n_atoms, self.v_min, self.v_max, self.n_quantiles, self.noisy = n_atoms, v_min, v_max, n_quantiles, noisy
        self._require_one_distribution()
        images = network in IMAGE_NETWORKS
        self.body, features = build_body(
            observation_shape, hidden_sizes, network, activation, self.description(), noisy=noisy
        )
        self.one_hot = None if images else one_hot(observation_choices, observation_shape[0], self.description())
        self._takes_images = images
        self.head = _head(features, head_hidden_sizes, n_actions, n_atoms or n_quantiles, dueling, noisy, activation)

    def _require_one_distribution(self) -> None:
        if self.n_atoms is not None and (self.n_quantiles is not None or self.v_max <= self.v_min):
            values = f"v_min={self.v_min}, v_max={self.v_max}"
            what = values if self.n_quantiles is None else f"n_quantiles={self.n_quantiles}"
            raise ConfigError(
                f"{self.description()}: n_atoms={self.n_atoms}: n_quantiles=None and v_min < v_max expected, {what} "
                "found."
            )

    def forward(self, t: int, stochastic: bool = True, **kwargs: Any) -> None:
        """Evaluate all actions at step `t`.

        Args:
            t: the step.
            stochastic: whether noisy layers draw, instead of using means.
            **kwargs: ignored.
        """
        observation, body, head = self.get((self.observation_variable, t)), self.body, self.head
        if not self._takes_images:
            observation = network_input(observation, self.one_hot, self, first_weight(body, head))
        if self.noisy:
            outputs = head(body(observation, stochastic=stochastic), stochastic=stochastic)
        else:
            outputs = head(body(observation))
        q_values = full_precision(outputs)
        if self.n_atoms is not None:
            self.set((f"{self.prefix}logits", t), q_values)
            values = atoms(self.v_min, self.v_max, self.n_atoms, q_values)
            q_values = (torch.softmax(q_values, -1) * values).sum(-1)
        elif self.n_quantiles is not None:
            self.set((f"{self.prefix}quantiles", t), q_values)
            q_values = q_values.mean(-1)
        self.set((f"{self.prefix}q_values", t), q_values)


def _head(
    features: int,
    hidden_sizes: Sequence[int],
    n_actions: int,
    n_outputs: int | None,
    dueling: bool,
    noisy: bool,
    activation: type[nn.Module],
) -> nn.Module:
    """Return a head `[B, features]` to `[B, n_actions]`, or `[B, n_actions, n_outputs]`."""
    if dueling:
        return DuelingHead(features, hidden_sizes, n_actions, activation, n_outputs=n_outputs, noisy=noisy)
    head = build_mlp([features, *hidden_sizes, n_actions * (n_outputs or 1)], activation, noisy=noisy)
    return head if n_outputs is None else head.append(nn.Unflatten(-1, (n_actions, n_outputs)))
