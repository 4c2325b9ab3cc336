"""Agents made of agents: in a row, over time, with fixed keyword arguments; and the small agents that go with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from workspace_rl.agent import Agent, is_agent
from workspace_rl.basics.arguments import checked
from workspace_rl.errors import CompositionError
from workspace_rl.variables.variable import Variable


class Agents(Agent):
    """Runs agents in order, each with the same keyword arguments."""

    def __init__(self, *agents: Agent, name: str | None = None) -> None:
        """Chain `agents`.

        Raises:
            CompositionError: one of them is not an agent.
        """
        super().__init__(name)
        for position, agent in enumerate(agents):
            _require_agent(agent, f"argument {position + 1} of Agents(...)")
        self.agents = nn.ModuleList(agents)

    def forward(self, **kwargs: Any) -> None:
        """Run every agent with `kwargs`."""
        workspace = self.running_workspace()
        # Past nn.Module's way of finding attributes, which takes longer than the call.
        for agent in self._modules["agents"]._modules.values():  # type: ignore[union-attr]
            agent(workspace, **kwargs)  # type: ignore[misc]

    def __getitem__(self, index: int) -> Agent:
        """Return the agent at position `index`."""
        agent = self.agents[index]
        if not is_agent(agent):
            raise CompositionError(f"position {index} of {self.description()} holds {type(agent).__name__}, no agent.")
        return agent

    def __len__(self) -> int:
        """Return the number of agents."""
        return len(self.agents)

    def __iter__(self) -> Iterator[Agent]:
        """Iterate over the agents, in order."""
        return (self[index] for index in range(len(self)))

    def seed(self, seed: int) -> Self:
        """Seed each agent differently, so that two environments in one chain do not play the same episodes."""
        seeds = np.random.SeedSequence(seed).generate_state(len(self.agents))
        for agent, own_seed in zip(self, seeds, strict=True):
            agent.seed(int(own_seed))
        return self


class TemporalAgent(Agent):
    """Runs an agent at successive time steps."""

    def __init__(self, agent: Agent, name: str | None = None, *more: Agent) -> None:
        """Run `agent` over time.

        Raises:
            CompositionError: `agent` is not an agent, or `more` than one is given.
        """
        if more or is_agent(name):
            raise CompositionError(
                f"TemporalAgent(...) runs one agent, {2 + len(more)} were given. Chain them: "
                "TemporalAgent(Agents(env_agent, policy))."
            )
        super().__init__(name)
        _require_agent(agent, "the argument of TemporalAgent(...)")
        self.agent = agent

    def forward(self, t: int = 0, n_steps: int | None = None, stop_variable: str | None = None, **kwargs: Any) -> None:
        """Run the agent at steps `t`, `t + 1`, ... with `kwargs`, at least once.

        Args:
            t: the first step.
            n_steps: stop after this many steps.
            stop_variable: stop after the first step at which this variable (`[B]`) is true for the whole batch.
            **kwargs: given to the agent.

        Raises:
            CompositionError: neither `n_steps` nor `stop_variable` is given.
        """
        if n_steps is None and stop_variable is None:
            raise CompositionError(f"{self.description()} needs n_steps or stop_variable, or it would run for ever.")
        workspace, agent = self.running_workspace(), self.agent
        end = None if n_steps is None else t + n_steps
        while True:
            agent(workspace, t=t, **kwargs)
            if stop_variable is not None and bool(self.get((stop_variable, t)).all()):
                break
            t += 1
            if end is not None and t >= end:
                break


class KWAgentWrapper(Agent):
    """Runs an agent with fixed keyword arguments: `KWAgentWrapper(actor, stochastic=False)`."""

    def __init__(self, agent: Agent, **kwargs: Any) -> None:
        """Wrap `agent` (it is then found as `.wrapped`); `kwargs` win over those of a call."""
        super().__init__()
        _require_agent(agent, "the argument of KWAgentWrapper(...)")
        self.wrapped = agent
        self.kwargs = kwargs

    def forward(self, **kwargs: Any) -> None:
        """Run the wrapped agent."""
        self.wrapped(self.running_workspace(), **{**kwargs, **self.kwargs})


class CopyTAgent(Agent):
    """Copies one variable to another."""

    @checked()
    def __init__(self, input_name: str, output_name: str, detach: bool = False, name: str | None = None) -> None:
        """Copy `input_name` to `output_name`, cut from its graph if `detach`."""
        super().__init__(name)
        self.input_name = input_name
        self.output_name = output_name
        self.detach = detach

    def forward(self, t: int | None = None, **kwargs: Any) -> None:
        """Copy step `t`, or the whole variable where `t` is None."""
        value = self.get(self.input_name if t is None else (self.input_name, t))
        if self.detach:
            value = value.detach()
        self.set(self.output_name if t is None else (self.output_name, t), value)


class StackAgent(Agent):
    """Stacks variables `[B]` into one, `[B, N]`: separate critics then look like an ensemble."""

    @checked()
    def __init__(self, input_names: Sequence[str], output_name: str, name: str | None = None) -> None:
        """Stack the variables `input_names` along a new last dimension into `output_name`."""
        super().__init__(name)
        self.input_names = list(input_names)
        self.output_name = output_name

    def forward(self, t: int, **kwargs: Any) -> None:
        """Stack step `t`."""
        self.set((self.output_name, t), torch.stack([self.get((one, t)) for one in self.input_names], dim=-1))


class PrintAgent(Agent):
    """Prints variables at each step."""

    @checked()
    def __init__(self, *names: str, name: str | None = None) -> None:
        """Print the variables `names`, or all if none is given."""
        super().__init__(name)
        self.names = names

    def forward(self, t: int, **kwargs: Any) -> None:
        """Print step `t`; all variables that have it where no names were given."""
        variables = self.running_workspace().variables
        names = self.names or [one for one, variable in variables.items() if _has_step(variable, t)]
        for one in names:
            self._show(one, t)

    def _show(self, name: str, t: int) -> None:
        print(f"{name}[{t}] = {self.get((name, t))}")


def _has_step(variable: Variable, t: int) -> bool:
    return t < variable.time_size() and variable.peek(t) is not None


class EpisodesDone(Agent):
    """Tells whether each environment has finished at least one episode since the run's first step."""

    @checked()
    def __init__(self, in_var: str = "env/done", out_var: str = "env/done", name: str | None = None) -> None:
        """Accumulate `in_var` (`[B]`, bool) by "or" into `out_var`."""
        super().__init__(name)
        self.in_var = in_var
        self.out_var = out_var
        self._done: torch.Tensor | None = None

    def forward(self, t: int, **kwargs: Any) -> None:
        """Accumulate step `t`; a run starts anew at `t=0`."""
        done = self.get((self.in_var, t))
        self._done = done.bool() if t == 0 or self._done is None else torch.logical_or(self._done, done)
        self.set((self.out_var, t), self._done)


def _require_agent(agent: object, where: str) -> None:
    if not is_agent(agent):
        hint = " Did you forget to create an instance of it?" if isinstance(agent, type) else ""
        raise CompositionError(f"{where} must be an agent, {agent!r} was given.{hint}")
