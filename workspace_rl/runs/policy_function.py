"""A policy as a function: an observation in, an action out, as the environment itself speaks."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from workspace_rl.agent import Agent
from workspace_rl.basics.seeding import RandomState
from workspace_rl.envs.contract.infos import InfoKeys
from workspace_rl.envs.spaces.actions import ActionAdapter, action_adapter
from workspace_rl.envs.spaces.observations import observation_leaves, space_leaves
from workspace_rl.errors import (
    ActionError,
    CompositionError,
    EnvironmentContractError,
    ObservationError,
    UnknownVariableError,
    UnwrittenStepError,
    WorkspaceRLError,
)
from workspace_rl.policies.loading import load_policy
from workspace_rl.policies.spaces import PolicySpaces, spaces_of
from workspace_rl.policies.stepwise_memory import StepwiseMemory
from workspace_rl.runs.run import Run
from workspace_rl.workspace import Workspace

_PREFIX, _ACTION = "env/", "action"


def policy_function(
    run_or_policy: str | Path | Run | Agent,
    env_or_spaces: Any = None,
    *,
    allow: Sequence[str | type] = (),
    **kwargs: Any,
) -> PolicyFunction:
    """Return a policy as a function of an observation, or of a batch of them.

        act = policy_function("outputs/mine")
        observation, info = env.reset()
        observation, reward, *_ = env.step(act(observation))

    A policy that reads masks, or other keys of infos, is given these as well: `act(observation, info)`. One with memory
    remembers from call to call: `act.reset()` before each episode. It acts in evaluation mode and computes no
    gradients. It is a copy: neither calls nor later training change the one through the other.

    Args:
        run_or_policy: the folder of a run or of a saved policy, a `Run`, or a policy.
        env_or_spaces: an environment, a vector environment, a `GymAgent`, or (observation space, action space), in
            place of the spaces that were saved with the policy, or where none were.
        allow: classes of your own that the policy is built from, as in `load_policy`.
        **kwargs: given to the policy at each call, for instance `stochastic=False`.

    Raises:
        PolicyFileError: the folder holds no policy, or it is damaged, or names a class that is not allowed.
        CompositionError: no spaces are known; they do not fit the policy; or it reads something else than the
            observation, infos and its own memory, such as the action of the step before.
        UnsupportedSpaceError: a space is of a kind that is not supported.
    """
    if isinstance(run_or_policy, Run):
        policy = run_or_policy.policy(allow=allow)
    elif isinstance(run_or_policy, str | Path):
        policy = load_policy(run_or_policy, allow)
    elif isinstance(run_or_policy, Agent):
        policy = run_or_policy
    else:
        raise CompositionError(
            f"run_or_policy: a folder, a Run or a policy (an agent) expected, {type(run_or_policy).__name__} found."
        )
    spaces = policy.policy_spaces if env_or_spaces is None else spaces_of(env_or_spaces, policy.policy_spaces)
    if spaces is None:
        raise CompositionError(
            f"{policy.description()} does not know its spaces: nothing was saved of them, as by older versions, or of "
            "spaces of your own. Give its environment, policy_function(policy, gymnasium.make('Pendulum-v1')), or "
            "(observation_space, action_space)."
        )
    return PolicyFunction(policy, spaces, **kwargs)


class PolicyFunction:
    """A policy as a function, see `policy_function`."""

    def __init__(self, policy: Agent, spaces: PolicySpaces, **kwargs: Any) -> None:
        """Take a copy of `policy`, and look whether it needs nothing but observations and infos."""
        self.policy = copy.deepcopy(policy).eval().requires_grad_(False)
        self.observation_space, self.action_space = spaces.observation, spaces.action
        self._kwargs = kwargs
        self._device = self.policy.device
        leaves = space_leaves(spaces.observation, "env_obs")
        self._leaves = {_PREFIX + name: _Leaf(_PREFIX + name, *leaf) for name, leaf in leaves.items()}
        self._info_keys = InfoKeys.of(spaces.info_keys)
        self._discrete = isinstance(spaces.action, gym.spaces.Discrete)
        self._rescale, self._clip = spaces.rescale_actions, spaces.clip_actions
        self._adapter: Callable[[int], ActionAdapter] = functools.lru_cache(maxsize=64)(self._make_adapter)
        self._adapter(1)
        self._memory = StepwiseMemory(self.policy)
        self._look_at_policy()

    def reset(self, begins: Any = None) -> None:
        """Say that the next call begins a new episode: what the policy remembers of the last one is forgotten.

        Before the first call it need not be said. A policy without memory has nothing to forget.

        Args:
            begins: `[B]` truth values, for which observations of the batch that is so; unless given, for all of them,
                and the next batch may be of another size.

        Raises:
            ObservationError: `begins` is something else.
        """
        if self._memory:
            self._memory.reset(begins)

    def __call__(self, observation: Any, info: Any = None) -> Any:
        """Return the action for an observation, or the actions for a batch of them.

        Args:
            observation: as the environment gives it: an array of the observation space's shape, or `[B, ...]`, a
                dictionary or a tuple of such; a whole number, or `[B]`, for `Discrete` spaces.
            info: as the environment gives it, or, for a batch, a vector environment or a list of B environments; for
                policies that read what was asked for of infos.

        Returns:
            What the environment takes: an array of the action space's shape and dtype, or `[B, ...]`, in the
            environment's own units; a whole number, or `[B]` (int64), for `Discrete` spaces.

        Raises:
            ObservationError: the observation does not fit the observation space, or `info` lacks what the policy
                reads, or holds something else; or a policy with memory is given more or fewer observations than before.
            ActionError: the policy's action does not fit the action space.
        """
        observed: dict[str, Tensor] = {}
        size = -1
        for name, leaf in self._leaves.items():
            array, leaf_size = leaf.read(observation)
            if size not in (-1, leaf_size):
                raise ObservationError(
                    f"{name}: {_amount(size)} expected, as in the observation's other parts, {_amount(leaf_size)} "
                    "found."
                )
            size = leaf_size
            observed[name] = self._tensor(array)
        if info is not None and self._info_keys:
            observed |= self._read_info(info, size)
        workspace, t = self._memory.next_step(size or 1) if self._memory else (Workspace(), 0)
        workspace.set_several(observed, t)
        try:
            with torch.no_grad():
                self.policy(workspace, t=t, **self._kwargs)
        except UnknownVariableError as error:
            raise ObservationError(
                f"{error.variable}: the policy reads it, and nothing was given. Call act(observation, info) with the "
                "info that belongs to the observation."
            ) from error
        try:
            actions = self._adapter(size or 1)(workspace.get(_ACTION, t), _ACTION, t)
        except ActionError as error:
            unfit = [name for name in self._leaves if not torch.isfinite(observed[name]).all()]
            if not unfit:
                raise
            raise ObservationError(f"{', '.join(unfit)}: finite numbers expected, NaN or infinity found.") from error
        if self._memory:
            self._memory.keep(workspace, t)
        if size:
            return actions
        return int(actions[0]) if self._discrete else np.asarray(actions[0])

    def _read_info(self, info: Any, size: int) -> dict[str, Tensor]:
        """Return what was asked for of infos."""
        read: dict[str, Tensor] = {}
        for key in self._info_keys:
            try:
                array = key.of_all(info if size else [info], size or 1)
            except EnvironmentContractError as error:
                which = f" of environment {error.index}" if size and error.index is not None else ""
                raise ObservationError(f"the info{which} does not fit: {error}") from error
            read[f"{_PREFIX}info/{key.name}"] = self._tensor(array)
        return read

    def _tensor(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor if self._device.type == "cpu" else tensor.to(self._device)

    def _make_adapter(self, n: int) -> ActionAdapter:
        return action_adapter(self.action_space, n, self._rescale, self._clip)

    def _look_at_policy(self) -> None:
        """Let the policy act at step 1 where nothing but that step's observation stands, and what it remembers.

        Raises:
            CompositionError: it asks for more, or does not fit the spaces.
        """
        who, example = self.policy.description(), self._example()
        try:
            with RandomState(0), torch.no_grad():
                workspace = self._first_steps(example)
        except (UnknownVariableError, UnwrittenStepError) as error:
            before = " of the step before" if error.variable in self._leaves or error.step == 0 else ""
            raise CompositionError(
                f"{who} is no function of an observation: it reads {error.variable!r}{before}, and only "
                f"{', '.join(map(repr, self._leaves))} of the same step can be given. Run it with its environment: "
                "TemporalAgent(Agents(GymAgent(...), policy))."
            ) from error
        except WorkspaceRLError:
            raise
        except Exception as error:  # whatever networks make of inputs of another size
            raise CompositionError(
                f"{who} does not fit the observation space {self.observation_space}: {type(error).__name__}: {error}"
            ) from error
        if _ACTION not in workspace:
            raise CompositionError(f"{who} writes no variable {_ACTION!r}.")
        self._adapter(1)(workspace.get(_ACTION, 1), _ACTION, 1)

    def _example(self) -> dict[str, Tensor]:
        observed = {name: self._tensor(leaf.example()) for name, leaf in self._leaves.items()}
        for key in self._info_keys:  # ones, since nothing may be done where a mask allows nothing
            observed[f"{_PREFIX}info/{key.name}"] = self._tensor(key.zeros(1) + key.dtype.type(1))
        return observed

    def _first_steps(self, observed: Mapping[str, Tensor]) -> Workspace:
        """Return what the policy writes at step 1; step 0 holds its memory, if it has one, and nothing else."""
        workspace, memory = Workspace(), StepwiseMemory(self.policy)
        if memory:
            workspace, _ = memory.next_step(1)
            workspace.set_several(observed, 0)
            self.policy(workspace, t=0, **self._kwargs)
            memory.keep(workspace, 0)
            workspace, _ = memory.next_step(1)
        workspace.set_several(observed, 1)
        self.policy(workspace, t=1, **self._kwargs)
        return workspace


class _Leaf:
    """One array of an observation."""

    def __init__(self, name: str, space: gym.Space[Any], pick: Callable[[Any], Any]) -> None:
        self.name, self.space, self._pick = name, space, pick
        self._shape = tuple(space.shape or ())
        self._dtype = np.dtype(space.dtype)
        (as_read,) = observation_leaves(space, name).values()
        self._target = as_read(np.zeros(self._shape, self._dtype)).dtype
        self._choices = _limits_of_choices(space)

    def read(self, observation: Any) -> tuple[np.ndarray, int]:
        """Return a copy of the leaf, `[B, ...]`, and B; 0 for a single observation, whose array is `[1, ...]`."""
        try:
            array = np.asarray(self._pick(observation))
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise ObservationError(
                f"{self.name}: {self.space} expected, nothing found there in {type(observation).__name__} "
                f"({type(error).__name__}: {error})."
            ) from error
        if array.shape == self._shape:
            size, array = 0, array[None]
        elif array.shape[1:] == self._shape and array.ndim and len(array):
            size = len(array)
        else:
            raise ObservationError(
                f"{self.name}: shape {list(self._shape)}, or a batch {['B', *self._shape]}, expected, "
                f"{list(array.shape)} found.".replace("'B'", "B")
            )
        if array.dtype != self._target and array.dtype.kind not in ("fiub" if self._dtype.kind == "f" else "iub"):
            raise ObservationError(f"{self.name}: {self._dtype} expected, {array.dtype} found.")
        limits = self._choices
        if limits is None and self._target.kind in "iu" and array.dtype != self._target:
            limits = int(np.iinfo(self._target).min), int(np.iinfo(self._target).max)
        if limits is not None and (array.min() < limits[0] or array.max() > limits[1]):
            raise ObservationError(
                f"{self.name}: numbers from {limits[0]} to {limits[1]} ({self.space}) expected, {array.min()} to "
                f"{array.max()} found."
            )
        return array.astype(self._target, order="C"), size

    def example(self) -> np.ndarray:
        """Return an observation `[1, ...]` within the space; ones where it may be a mask of allowed actions."""
        if isinstance(self.space, gym.spaces.Box):
            numbers = np.zeros(self._shape) if self._dtype.kind == "f" else np.ones(self._shape)
            array = np.clip(numbers, self.space.low, self.space.high)
        elif isinstance(self.space, gym.spaces.MultiBinary):
            array = np.ones(self._shape)
        else:
            array = np.zeros(self._shape) + getattr(self.space, "start", 0)
        return array.astype(self._target)[None]


def _limits_of_choices(space: gym.Space[Any]) -> tuple[int, int] | None:
    """Return the least and the greatest number of a space of choices, None for one of numbers."""
    if isinstance(space, gym.spaces.Discrete):
        return int(space.start), int(space.start + space.n - 1)
    if isinstance(space, gym.spaces.MultiDiscrete):
        return int(space.start.min()), int((space.start + space.nvec - 1).max())
    return (0, 1) if isinstance(space, gym.spaces.MultiBinary) else None


def _amount(size: int) -> str:
    return f"a batch of {size}" if size else "a single observation"
