"""The spaces that a policy was made for, as they stand beside it in its file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from workspace_rl.agent import Agent
from workspace_rl.envs.contract.infos import InfoKeys
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.envs.spaces.observations import space_leaves
from workspace_rl.errors import CompositionError, PolicyFileError

#: Bounds that differ from component to component are written down up to so many.
MOST_BOUNDS = 2_000
#: The largest space that is built from a file, which may be a stranger's.
MOST_COMPONENTS = 10_000_000


@dataclass(frozen=True)
class PolicySpaces:
    """What a policy is given, and what its actions mean."""

    #: Of one environment.
    observation: gym.Space[Any]
    action: gym.Space[Any]
    #: Whether the policy writes continuous actions in [-1, 1].
    rescale_actions: bool = True
    #: Whether continuous actions out of bounds are clipped rather than refused.
    clip_actions: bool = False
    #: What it may read of infos, as `GymAgent` was asked for it.
    info_keys: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any] | None:
        """Return plain data, None where a space is of a kind, or of a size, that is not written down."""
        observation, action = _describe(self.observation), _describe(self.action)
        if observation is None or action is None:
            return None
        return {
            "observation": observation,
            "action": action,
            "rescale_actions": self.rescale_actions,
            "clip_actions": self.clip_actions,
            **({"info_keys": dict(self.info_keys)} if self.info_keys else {}),
        }

    @classmethod
    def rebuild(cls, described: Any) -> PolicySpaces:
        """Return what `describe` wrote.

        Raises:
            PolicyFileError: the data is damaged.
        """
        try:
            return cls(
                _rebuild(described["observation"]),
                _rebuild(described["action"]),
                bool(described["rescale_actions"]),
                bool(described["clip_actions"]),
                InfoKeys.of(described.get("info_keys")).describe(),
            )
        except Exception as error:  # whatever the spaces make of damaged data
            raise PolicyFileError(f"the policy's spaces cannot be read: {type(error).__name__}: {error}") from error


def spaces_of(env_or_spaces: Any, known: PolicySpaces | None = None) -> PolicySpaces:
    """Return the spaces of an environment, of a vector environment, of a `GymAgent`, or a pair of them.

    Args:
        env_or_spaces: where from; a pair is (observation space, action space), of one environment.
        known: how a policy's actions are known to be meant.

    Raises:
        CompositionError: it is none of these.
    """
    if isinstance(env_or_spaces, PolicySpaces):
        return env_or_spaces
    if isinstance(env_or_spaces, GymAgent):
        agent = env_or_spaces
        how = agent.rescale_actions, agent.clip_actions, agent.info_keys.describe()
        return PolicySpaces(agent.observation_space, agent.action_space, *how)
    if isinstance(env_or_spaces, VectorEnv):
        pair: Any = (env_or_spaces.single_observation_space, env_or_spaces.single_action_space)
    elif isinstance(env_or_spaces, gym.Env):
        pair = (env_or_spaces.observation_space, env_or_spaces.action_space)
    else:
        pair = env_or_spaces
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(one, gym.Space) for one in pair):
        raise CompositionError(
            "env_or_spaces: an environment, a vector environment, a GymAgent, or (observation_space, action_space) "
            f"expected, {type(env_or_spaces).__name__} found."
        )
    return PolicySpaces(*pair) if known is None else replace(known, observation=pair[0], action=pair[1])


def require_fitting(policy: Agent, env_agent: GymAgent) -> None:
    """Look whether a policy whose spaces are known is for the environments of `env_agent`.

    Raises:
        CompositionError: it reads observations of other shapes, or its actions would be taken in other units.
    """
    known = getattr(policy, "policy_spaces", None)  # agents of BBRL have none
    if known is None or not isinstance(env_agent.observation_space, gym.Space):
        return
    who, where = policy.description(), env_agent.description()
    expected, found = _shapes(known.observation), _shapes(env_agent.observation_space)
    if expected != found:
        raise CompositionError(
            f"{who} was made for observations {known.observation}, but {where} gives {env_agent.observation_space}. "
            "Give it the environment that it was trained in, with the same wrappers and arguments."
        )
    space = env_agent.action_space
    units = isinstance(space, gym.spaces.Box) and not ((space.low == -1).all() and (space.high == 1).all())
    if units and known.rescale_actions != env_agent.rescale_actions:
        written = "in [-1, 1]" if known.rescale_actions else "in the units of its space"
        raise CompositionError(
            f"{who} writes actions {written}, but {where} takes them otherwise "
            f"(rescale_actions={env_agent.rescale_actions}). Build it with rescale_actions={known.rescale_actions}."
        )


def _shapes(space: gym.Space[Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(leaf.shape or ()) for name, (leaf, _) in space_leaves(space, "env_obs").items()}


# ---- spaces as plain data -----------------------------------------------------------------------------------------


def _describe(space: gym.Space[Any]) -> dict[str, Any] | None:
    """Return {kind: its arguments}."""
    if type(space) is gym.spaces.Box:
        low, high = _bounds(space.low), _bounds(space.high)
        if low is None or high is None:
            return None
        return {"Box": {"low": low, "high": high, "shape": list(space.shape), "dtype": str(space.dtype)}}
    if type(space) is gym.spaces.Discrete:
        return {"Discrete": {"n": int(space.n), "start": int(space.start), "dtype": str(space.dtype)}}
    if type(space) is gym.spaces.MultiDiscrete and space.nvec.size <= MOST_BOUNDS:
        return {
            "MultiDiscrete": {"nvec": space.nvec.tolist(), "start": space.start.tolist(), "dtype": str(space.dtype)}
        }
    if type(space) is gym.spaces.MultiBinary:
        return {"MultiBinary": {"n": np.asarray(space.n).tolist()}}
    if type(space) is gym.spaces.Dict and all(isinstance(key, str) for key in space.spaces):
        named = [[key, _describe(one)] for key, one in space.spaces.items()]
        return None if any(one is None for _, one in named) else {"Dict": named}
    if type(space) is gym.spaces.Tuple:
        parts = [_describe(one) for one in space.spaces]
        return None if None in parts else {"Tuple": parts}
    return None


def _bounds(values: np.ndarray) -> Any:
    """Return a number if all bounds are the same, else nested lists, None if those would be long."""
    if values.size and (values == values.flat[0]).all():
        return values.flat[0].item()
    return values.tolist() if values.size <= MOST_BOUNDS else None


def _rebuild(described: Any) -> gym.Space[Any]:
    ((kind, content),) = described.items()
    if kind == "Dict":
        return gym.spaces.Dict([(str(key), _rebuild(one)) for key, one in content])
    if kind == "Tuple":
        return gym.spaces.Tuple([_rebuild(one) for one in content])
    if kind == "Discrete":
        return gym.spaces.Discrete(int(content["n"]), start=int(content["start"]), dtype=_dtype(content["dtype"]))
    if kind == "MultiDiscrete":
        dtype = _dtype(content["dtype"])
        start = np.array(content["start"], dtype)
        return gym.spaces.MultiDiscrete(np.array(content["nvec"], dtype), start=start, dtype=dtype)
    sizes = content["n"] if kind == "MultiBinary" else content["shape"]
    shape = tuple(int(one) for one in (sizes if isinstance(sizes, list) else [sizes]))
    if min(shape, default=1) < 0 or math.prod(shape) > MOST_COMPONENTS:
        raise ValueError(f"a space of shape {list(shape)}")
    if kind == "MultiBinary":
        return gym.spaces.MultiBinary(shape if isinstance(sizes, list) else shape[0])
    if kind == "Box":
        dtype = _dtype(content["dtype"])
        low, high = (np.broadcast_to(np.array(content[key], dtype), shape).copy() for key in ("low", "high"))
        return gym.spaces.Box(low, high, shape, dtype)
    raise ValueError(f"a space of kind {kind!r}")


def _dtype(name: Any) -> Any:
    dtype = np.dtype(str(name))
    if dtype.kind not in "fiub":
        raise ValueError(f"a space of {name!r}")
    return dtype.type
