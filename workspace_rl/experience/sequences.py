"""Windows as sequences: memories run over them, and transitions of all of their steps side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workspace_rl.agent import Agent, before
from workspace_rl.errors import VariableMismatchError
from workspace_rl.workspace import Workspace


def run_over(agents: Sequence[Agent], window: Workspace, burn_in: int = 0) -> Workspace:
    """Run agents over all frames of a window, and return those after the first `burn_in` ones, with what they wrote.

    A memory begins with what it was before the window, `before(name)`, where that is there, and with nothing else. Over
    the first frames it runs without gradients, only to bring its state up to date with its weights (Kapturowski et al.
    2019, "Recurrent Experience Replay in Distributed Reinforcement Learning", section 3): so gradients reach the first
    of the frames that are returned, and nothing before it.

    Args:
        agents: run over all of time one after the other, `agent(workspace)`.
        window: `[T, B, ...]`, and `[1, B, ...]` for what states were before it.
        burn_in: how many frames, of T.
    """
    if not burn_in:
        return _run(agents, Workspace(window))
    first, frames = Workspace(), Workspace()
    for name in window:
        value = window.get_full(name)
        first.set_full(name, value.narrow(0, 0, min(burn_in, len(value))))
        if len(value) > 1:
            frames.set_full(name, after(value, burn_in))
    with torch.no_grad():
        _run(agents, first)
    for part in (part for agent in agents for part in agent.modules() if isinstance(part, Agent)):
        for name in part.state_variables:
            frames.set_full(before(name), after(first.get_full(part.prefix + name), burn_in - 1))
    return _run(agents, frames)


def after(value: Tensor, n: int) -> Tensor:
    """Return what comes after the first `n` steps of `[T, B, ...]`."""
    return value.narrow(0, n, len(value) - n)


def _run(agents: Sequence[Agent], frames: Workspace) -> Workspace:
    for agent in agents:
        agent(frames)
    return frames


def counting_steps(
    window: Workspace, *, done_variable: str = "env/done", timestep_variable: str = "env/timestep"
) -> Tensor:
    """Return which frames of a window begin a transition that counts, `[T, B]` bool.

    Those do not that end an episode, since the next frame only carries a reset; nor any after two frames of which the
    second, by its `env/timestep`, does not follow the first: where episodes were cut off, a replay buffer may go on
    with those of another collector, of which a memory knows nothing.
    """
    done, timestep = window.get_full(done_variable), window.get_full(timestep_variable)
    follows = timestep[1:] == torch.where(done[:-1], 0, timestep[:-1] + 1)
    together = torch.cat((torch.ones_like(done[:1]), follows)).cumprod(0).bool()
    return together & ~done


def steps_side_by_side(window: Workspace, n_steps: int, n_step_return: int = 1) -> Workspace:
    """Return the windows of each of the first `n_steps` frames, side by side: `[n_step_return + 1, n_steps * B, ...]`.

    `n_step_transitions` makes transitions of them. They are ordered by time, then by environment.

    Args:
        window: `[n_steps + n_step_return, B, ...]`.
        n_steps: frames that begin a transition.
        n_step_return: how many steps it goes on.

    Raises:
        VariableMismatchError: a variable has another number of frames.
    """
    flat = Workspace()
    for name in window:
        value = window.get_full(name)
        if len(value) != n_steps + n_step_return:
            raise VariableMismatchError(
                f"{n_steps} transitions over {n_step_return} steps need {n_steps + n_step_return} frames, but {name!r} "
                f"has {len(value)}."
            )
        shifted = [value.narrow(0, shift, n_steps).flatten(0, 1) for shift in range(n_step_return + 1)]
        flat.set_full(name, torch.stack(shifted))
    return flat
