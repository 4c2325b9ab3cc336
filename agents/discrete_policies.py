"""Policies that choose among discrete actions by their values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workspace_rl.agent import Agent
from workspace_rl.agents.distributions import only_allowed
from workspace_rl.agents.masks import random_allowed, read_mask, require_allowed
from workspace_rl.agents.networks import drawing_dtype
from workspace_rl.basics.arguments import checked


class LinearSchedule:
    """Moves along a line from `start` to `end` and stays there: `LinearSchedule(1, 0.1, 10_000)(step)`."""

    @checked(least={"steps": 0})
    def __init__(self, start: float, end: float, steps: int) -> None:
        """Reach `end` after `steps` steps; `steps=0` means from the beginning."""
        self.start, self.end, self.steps = start, end, steps

    def __call__(self, step: int) -> float:
        """Return the value at `step`."""
        if step >= self.steps:
            return self.end
        return self.start + (self.end - self.start) * (step / self.steps)


class GreedyAgent(Agent):
    """Takes the action with the greatest value, of those that are allowed.

    Reads `q/q_values` (`[B, n_actions]`) at `t`, and `mask_variable` (`[B, n_actions]` bool), if one is given; writes
    `action` (`[B]`, int64) at `t`.
    """

    @checked()
    def __init__(
        self,
        q_variable: str = "q/q_values",
        action_variable: str = "action",
        name: str | None = None,
        mask_variable: str | None = None,
        needs_allowed: bool = True,
    ) -> None:
        """Read `q_variable` and write `action_variable`.

        Args:
            q_variable: the variable with the values.
            action_variable: the variable with the actions.
            name: the agent's name.
            mask_variable: says which actions are allowed; None if all are.
            needs_allowed: whether it is an error that none is. False where the action is only looked at, as that of a
                target: nothing may be allowed when an episode is over.
        """
        super().__init__(name)
        self.q_variable, self.action_variable = q_variable, action_variable
        self.mask_variable, self.needs_allowed = mask_variable, needs_allowed

    def forward(self, t: int, **kwargs: Any) -> None:
        """Choose actions at step `t`.

        Raises:
            ActionError: an environment whose episode goes on allows no action.
        """
        q_values = self.get((self.q_variable, t))
        if self.mask_variable is not None:
            q_values, _ = _allowed_values(self, self.mask_variable, q_values, t, self.needs_allowed)
        self.set((self.action_variable, t), q_values.argmax(-1))


class EpsilonGreedyAgent(Agent):
    """Takes any action, uniformly, with probability epsilon, and the one with the greatest value otherwise.

    Reads `q/q_values` (`[B, n_actions]`) at `t`, and `mask_variable` (`[B, n_actions]` bool), if one is given: both
    kinds of actions are then of those that are allowed. Writes `action` (`[B]`, int64) at `t`. Each environment draws
    for itself, from torch's global generator. Epsilon follows a linear schedule of the keyword argument `step`.
    """

    @checked(least={"epsilon_start": 0, "epsilon_end": 0, "epsilon_steps": 0})
    def __init__(
        self,
        epsilon_start: float = 1.0,
        epsilon_end: float = 0.05,
        epsilon_steps: int = 10_000,
        q_variable: str = "q/q_values",
        action_variable: str = "action",
        name: str | None = None,
        mask_variable: str | None = None,
    ) -> None:
        """Read `q_variable` and write `action_variable`.

        Args:
            epsilon_start: epsilon at step 0.
            epsilon_end: epsilon from step `epsilon_steps` on.
            epsilon_steps: transitions, summed over environments.
            q_variable: the variable with the values.
            action_variable: the variable with the actions.
            name: the agent's name.
            mask_variable: says which actions are allowed; None if all are.
        """
        super().__init__(name)
        #: Epsilon as a function of the transitions collected so far.
        self.epsilon = LinearSchedule(epsilon_start, epsilon_end, epsilon_steps)
        self.q_variable, self.action_variable = q_variable, action_variable
        self.mask_variable = mask_variable

    def forward(self, t: int, step: int = 0, stochastic: bool = True, **kwargs: Any) -> None:
        """Choose actions at step `t`.

        Args:
            t: the step.
            step: transitions collected so far, summed over environments.
            stochastic: explore; otherwise take the greatest value, and draw no random numbers.
            **kwargs: ignored.

        Raises:
            ActionError: an environment whose episode goes on allows no action.
        """
        q_values, allowed = self.get((self.q_variable, t)), None
        if self.mask_variable is not None:
            q_values, allowed = _allowed_values(self, self.mask_variable, q_values, t)
        action = q_values.argmax(-1)
        if stochastic:
            explore = torch.rand(action.shape, device=action.device, dtype=drawing_dtype()) < self.epsilon(step)
            anything = torch.randint_like(action, q_values.shape[-1]) if allowed is None else random_allowed(allowed)
            action = torch.where(explore, anything, action)
        self.set((self.action_variable, t), action)


def _allowed_values(
    agent: Agent, mask_variable: str, q_values: Tensor, t: int, needs_allowed: bool = True
) -> tuple[Tensor, Tensor]:
    """Return values in which those of allowed actions are the greatest, and what is allowed, both `[B, n_actions]`."""
    allowed = read_mask(agent, mask_variable, t, q_values.shape[-1])
    if needs_allowed:
        require_allowed(allowed, agent, mask_variable, t)
    return only_allowed(q_values, allowed), allowed
