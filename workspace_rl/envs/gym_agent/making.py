"""How the environments of an agent are made, at first and whenever they are made anew."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from gymnasium.vector import VectorEnv

from workspace_rl.envs.contract.infos import InfoKeys
from workspace_rl.envs.make_env import Wrapper
from workspace_rl.envs.vector.make_vector_env import Vectorization, make_vector_env


class Maker:
    """Makes the vector environment that the arguments of `GymAgent` describe."""

    def __init__(
        self,
        env: Any,
        n_envs: int,
        auto_reset: bool,
        vectorization: Vectorization | None,
        wrappers: Sequence[Wrapper],
        env_args: dict[str, Any],
        timeout: float | None,
        info_keys: InfoKeys,
    ) -> None:
        """Note the arguments of `make_vector_env`."""
        self.n_envs = n_envs
        #: What the environment is called in messages.
        self.label = _label(env)
        #: Whether the agent was given a vector environment, of which another one cannot be made.
        self.was_given = isinstance(env, VectorEnv)
        #: Makes a new vector environment.
        self.make = partial(
            make_vector_env, env, n_envs, auto_reset, vectorization, wrappers, env_args, timeout, info_keys
        )


def _label(env: Any) -> str:
    env = getattr(env, "func", env)  # of functools.partial
    spec = getattr(env, "spec", None)
    name = env if isinstance(env, str) else getattr(spec, "id", None) or getattr(env, "__qualname__", None)
    return repr(name or type(env).__name__)
