"""Trying a policy's memory on made-up episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from workspace_rl.agent import is_agent
from workspace_rl.inspection.copies.environments import is_environment, n_envs
from workspace_rl.inspection.copies.harmless import harmless
from workspace_rl.inspection.memories.acting import declares, described, is_memory
from workspace_rl.inspection.memories.again import faults_again
from workspace_rl.inspection.memories.candidates import Candidates
from workspace_rl.inspection.memories.dependence import Run, dependence_of, run_through
from workspace_rl.inspection.memories.episodes import LENGTHS, made_up
from workspace_rl.inspection.memories.faults import FORGETS, Fault, faults_of
from workspace_rl.inspection.memories.hidden import hidden_memories


def memory_faults(
    policy: Any, environment: Any, known: Candidates, choice: str, kwargs: Mapping[str, Any]
) -> list[Fault]:
    """Return what is wrong with the memory of `policy`, whose copies act on made-up episodes.

    Where it cannot be run on these, it is given the benefit of the doubt.

    Args:
        policy: an agent; environments within it stand still.
        environment: what is observed.
        known: the variables that may be memory.
        choice: the variable of its actions. That a policy looks at these is no memory.
        kwargs: given to the policy.
    """
    if not isinstance(policy, nn.Module):
        return []
    # A policy may be made for as many environments as there are.
    for n_rows in dict.fromkeys((max(len(LENGTHS), n_envs(environment)), n_envs(environment))):
        try:
            with harmless(), torch.no_grad():
                run, other = (run_through(policy, made_up(environment, n_rows, seed), kwargs) for seed in (1, 2))
                return _Trial(policy, run, other, choice, kwargs).faults(known)
        except Exception:  # whatever it needs is not there
            continue
    return []


class _Trial:
    """One policy, and two runs of it on different observations."""

    def __init__(self, policy: nn.Module, run: Run, other: Run, choice: str, kwargs: Mapping[str, Any]) -> None:
        self.policy, self.run, self.other, self.choice, self.kwargs = policy, run, other, choice, kwargs

    def faults(self, known: Candidates) -> list[Fault]:
        """Return what is wrong with what is hidden, and with each variable that may be memory."""
        found = list(hidden_memories(self.policy, self.run, self.other, self.kwargs))
        keepers: dict[nn.Module, list[str]] = {}
        for name, variable in self.run.workspace.variables.items():
            writer = self._agent(variable.writer)
            if writer is None or name == self.choice or name in self.run.episodes.values:
                continue
            if name in known.earlier or name in known.present or declares(writer, name) or is_memory(writer):
                keepers.setdefault(writer, []).append(name)
        for agent, names in keepers.items():
            found += self._of(agent, names, known)
        return found

    def _of(self, agent: nn.Module, names: Sequence[str], known: Candidates) -> Iterator[Fault]:
        """Yield what is wrong with the memory of one agent."""
        all_of_it = {name: dependence_of(self.policy, name, self.run, self.other, self.kwargs) for name in names}
        memories = {
            name: one
            for name, one in all_of_it.items()
            # A state may be what was seen last, and only other variables depend on what it was.
            if one.lasts(name) or one.mixes.any() or (declares(agent, name) and (one.carried | one.leaked).any())
        }
        found: list[Fault] = []
        for name, one in memories.items():
            acts = any(self.choice in each and each[self.choice].any() for each in (one.carries, one.leaks))
            # Others are traces and counters.
            if acts or declares(agent, name) or next(agent.parameters(), None) is not None:
                found += faults_of(described(agent), name, one, self.run.episodes)
        if memories:
            yield from found or faults_again(agent, [*memories], self.run, self.kwargs)
            return
        for name in names:
            own = name in known.present or (name in known.earlier and is_memory(agent))
            if declares(agent, name) or (own and is_memory(agent)):
                yield Fault(FORGETS, described(agent), (name,), "present" if name in known.present else "")

    def _agent(self, name: str) -> nn.Module | None:
        """Return the innermost agent of this name."""
        agents = [one for one in self.policy.modules() if is_agent(one) and not is_environment(one)]
        return next((one for one in reversed(agents) if getattr(one, "_name", None) == name), None)
