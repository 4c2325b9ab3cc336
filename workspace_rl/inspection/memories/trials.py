"""Policies tried on made-up observations: whether they draw their actions, and whether they gather statistics."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workspace_rl.agent import is_agent
from workspace_rl.inspection.copies.environments import frame
from workspace_rl.inspection.copies.harmless import harmless
from workspace_rl.inspection.copies.twins import Twins
from workspace_rl.workspace import Workspace

#: Rows of observations, and steps: enough to see a policy that explores once in a hundred times.
ROWS, STEPS = 128, 32


def random_choice(policy: Any, environment: Any, variable: str) -> bool:
    """Return whether `variable`, as `policy` writes it, depends on random numbers. Copies of it act, for evaluation.

    Where it cannot be run on made-up observations, it is given the benefit of the doubt; so is one without parameters,
    since there is nothing in it to be scored.
    """
    if not isinstance(policy, nn.Module) or next(policy.parameters(), None) is None:
        return False
    given = _observations(environment)
    try:
        _, drew = _actions(policy, {name: value[:2] for name, value in given.items()}, variable, 1)
        if not drew:  # most do not
            return False
        first, _ = _actions(policy, given, variable, 1)
        second, _ = _actions(policy, given, variable, 2)
    except Exception:  # whatever it needs is not there
        return False
    return any(not _alike(a, b) for a, b in zip(first, second, strict=True))


def gathered_statistics(policy: Any, environment: Any) -> dict[str, list[str]]:
    """Return the buffers that `policy` changes by what it observes, by the descriptions of the agents they are in.

    Copies of it act, for evaluation, on two sets of observations. Counters, which do not depend on these, are left out;
    so is what is kept for each environment, such as a memory.
    """
    if not isinstance(policy, nn.Module) or not any(one.is_floating_point() for one in policy.buffers()):
        return {}
    given = _observations(environment)
    others = {name: 2 * value + 1 if value.is_floating_point() else value for name, value in given.items()}
    try:
        first, second = _buffers(policy, given), _buffers(policy, others)
    except Exception:  # whatever it needs is not there
        return {}
    found: dict[str, list[str]] = {}
    for name, before in policy.named_buffers():
        changed = not torch.equal(first[name], before) and not torch.equal(first[name], second[name])
        if changed and before.is_floating_point() and ROWS not in first[name].shape:
            found.setdefault(_agent_of(policy, name), []).append(name.rpartition(".")[2])
    return found


def _buffers(policy: nn.Module, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the buffers of a copy of `policy` that has acted once, by name."""
    twins = Twins(fake=False, seed=1)
    with harmless(), torch.no_grad():
        try:
            twin, workspace = twins.of(policy).eval(), Workspace()
            for name, value in given.items():
                workspace.set(name, 0, value)
            twin(workspace, t=0)
            return {name: one.detach().clone() for name, one in twin.named_buffers()}
        finally:
            twins.put_back()


def _agent_of(policy: nn.Module, name: str) -> str:
    """Return the description of the innermost agent that holds a buffer or a parameter."""
    parts = name.split(".")[:-1]
    holders = [policy.get_submodule(".".join(parts[:n])) for n in range(len(parts) + 1)]
    agents = [one for one in holders if is_agent(one)]
    return str(agents[-1].description() if hasattr(agents[-1], "description") else type(agents[-1]).__name__)


def _actions(policy: Any, given: Mapping[str, Tensor], variable: str, seed: int) -> tuple[list[Tensor], bool]:
    """Return the actions at successive steps, and whether any random number was drawn on the way."""
    twins = Twins(fake=False, seed=seed)
    actions: list[Tensor] = []
    with harmless(), torch.no_grad():
        try:
            twin = twins.of(policy).eval()
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            workspace, before = Workspace(), _state(twins.generators)
            for t in range(STEPS):
                for name, value in given.items():
                    workspace.set(name, t, value)
                twin(workspace, t=t)
                actions.append(workspace.get(variable, t).detach().clone())
                if t == 1 and before == _state(twins.generators):
                    return actions, False
        finally:
            twins.put_back()
    return actions, True


def _state(generators: Sequence[Any]) -> tuple[Any, ...]:
    """Return the states of all random generators, the global ones and those of a policy's own."""
    torch_state = torch.get_rng_state().numpy().tobytes()
    devices = (
        tuple(one.numpy().tobytes() for one in torch.cuda.get_rng_state_all()) if torch.cuda.is_initialized() else ()
    )
    return torch_state, devices, random.getstate(), _words(np.random.get_state()), *map(_state_of, generators)


def _state_of(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state().numpy().tobytes()
    if isinstance(generator, np.random.Generator):
        return repr(generator.bit_generator.state)
    return generator.getstate() if isinstance(generator, random.Random) else _words(generator.get_state())


def _words(state: Any) -> tuple[Any, ...]:
    return state[1].tobytes(), *state[2:]


def _observations(environment: Any) -> dict[str, Tensor]:
    """Return what an environment agent writes, for many environments: numbers around zero in place of observations."""
    generator = torch.Generator().manual_seed(0)
    prefix = str(getattr(environment, "output_prefix", None) or getattr(environment, "output", "env/"))
    rows: dict[str, Tensor] = {}
    for name, value in frame(environment).items():
        one = value[:1].expand(ROWS, *value.shape[1:]).clone()
        if "obs" in name and one.is_floating_point():
            one = torch.randn(one.shape, generator=generator, dtype=one.dtype).to(value.device)
        rows[prefix + name] = one
    return rows


def _alike(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-5, equal_nan=True) if a.is_floating_point() else torch.equal(a, b)
