"""What environments write, and the actions they take, by their spaces alone."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector.utils import create_empty_array
from torch import Tensor, nn

from workspace_rl.agent import Agent, is_agent
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.envs.spaces.actions import CHOICES
from workspace_rl.envs.spaces.observations import observation_leaves, space_leaves
from workspace_rl.errors import ActionError


def is_environment(module: object) -> bool:
    """Return whether an agent is known to stand for environments: `GymAgent`, or one of BBRL's."""
    if isinstance(module, GymAgent):
        return True
    # BBRL's own: named by what they have, since the package need not be installed.
    names = ("observation_space", "action_space", "input", "output")
    return is_agent(module) and all(hasattr(module, name) for name in names)


def n_envs(environment: Any) -> int:
    """Return the number of copies of an environment agent."""
    for name in ("n_envs", "num_envs"):
        if isinstance(getattr(environment, name, None), int):
            return int(getattr(environment, name))
    return 1


def resets_itself(environment: Any) -> bool:
    """Return whether an environment agent has several environments that begin anew, each at its own time."""
    return n_envs(environment) > 1 and begins_anew(environment)


def begins_anew(environment: Any) -> bool:
    """Return whether the environments of an agent begin another episode where one has ended."""
    return bool(getattr(environment, "auto_reset", "AutoReset" in type(environment).__name__))


def stand_in(module: nn.Module) -> None:
    """Let an environment agent write empty frames instead of stepping its environments; others stay as they are."""
    if is_environment(module):
        agent: Any = module
        # An attribute of the object wins over its class's method.
        module.__dict__["forward"] = lambda t=0, **kwargs: _forward(agent, t)


def frame(environment: Any) -> dict[str, Tensor]:
    """Return what an environment agent writes at each step, without their prefix: zeros of the right layout.

    What may be a mask of allowed actions is of ones.
    """
    batch = n_envs(environment)
    space: gym.Space[Any] = environment.observation_space
    leaves = observation_leaves(space, "env_obs")
    empty = create_empty_array(space, n=batch, fn=np.zeros)
    layouts = {name: torch.from_numpy(np.array(leaf(empty))) for name, leaf in leaves.items()}
    written = {name: torch.zeros(tuple(one.shape), dtype=one.dtype) for name, one in layouts.items()}
    for name, (leaf, _) in space_leaves(space, "env_obs").items():
        if isinstance(leaf, gym.spaces.Box | gym.spaces.MultiBinary) and not written[name].is_floating_point():
            written[name] = torch.ones_like(written[name])
    for name in ("terminated", "truncated", "done"):
        written[name] = torch.zeros(batch, dtype=torch.bool)
    for name in ("reward", "cumulated_reward"):
        written[name] = torch.zeros(batch)
    for name, values in environment.info_keys.batch(batch).items() if isinstance(environment, GymAgent) else ():
        written[f"info/{name}"] = torch.ones_like(torch.from_numpy(values))
    written["timestep"] = torch.zeros(batch, dtype=torch.int64)
    device = getattr(environment, "output_device", torch.device("cpu"))
    return {name: value.to(device) for name, value in written.items()}


def _forward(environment: Any, t: int) -> None:
    if t > 0:
        _take_action(environment, t - 1)
    if isinstance(environment, GymAgent):
        environment._write(frame(environment), t)
    else:
        for name, value in frame(environment).items():
            Agent.set(environment, (environment.output + name, t), value)


def _take_action(environment: Any, t: int) -> None:
    name = str(getattr(environment, "input", None) or getattr(environment, "input_name", "action"))
    if any(one.startswith(f"{name}/") for one in environment.workspace.keys()):
        return  # BBRL's actions that have parts
    space: gym.Space[Any] = environment.action_space
    action = Agent.get(environment, (name, t))
    known = isinstance(space, gym.spaces.Box | CHOICES)
    if not known or not isinstance(environment, GymAgent):
        return
    continuous = isinstance(space, gym.spaces.Box)
    shape = (n_envs(environment), *(space.shape or ()))
    integers = not action.is_floating_point() and not action.is_complex() and action.dtype != torch.bool
    if tuple(action.shape) != shape or not (action.is_floating_point() if continuous else integers):
        error = ActionError(
            f"variable {name!r} at step {t} must hold {'floats' if continuous else 'integers'} of shape {list(shape)} "
            f"for {space}, found {action.dtype} of shape {list(action.shape)}. "
            + (
                "A policy for continuous actions writes one number for each component."
                if continuous
                else "A policy for discrete actions writes the index of its choice, for instance by argmax(-1)."
            )
        )
        error.variable, error.step = name, t
        raise error
