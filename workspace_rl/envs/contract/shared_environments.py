"""Environments that should be apart, but are one and the same object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import gymnasium as gym
from gymnasium.vector import VectorEnv

from workspace_rl.errors import SharedEnvironmentError

_WAY_OUT = "Give a function that makes a new one each time it is called (lambda: {name}(...), not lambda: env)."


class Hold:
    """Whoever has reset environments and goes on stepping them."""

    __slots__ = ("__weakref__", "lost")

    #: Who has reset each object last, by its id. Objects live as long as those who hold them.
    _last: ClassVar[WeakValueDictionary[int, Hold]] = WeakValueDictionary()

    def __init__(self) -> None:
        #: What somebody else has reset meanwhile, if anything.
        self.lost: str | None = None

    def take(self, vector_env: VectorEnv[Any, Any, Any]) -> None:
        """Take hold of environments that are reset now; who held one of them before has lost it."""
        for held in _objects(vector_env):
            before = Hold._last.get(id(held))
            if before is not None and before is not self:
                before.lost = type(held).__name__
            Hold._last[id(held)] = self

    def check(self) -> None:
        """Raise a `SharedEnvironmentError` if somebody else has reset one of the environments meanwhile."""
        if self.lost is not None:
            raise SharedEnvironmentError(
                f"its {self.lost} was reset by another agent in the middle of this one's episodes: both have the same "
                f"object, as training and evaluation do where a function returns one object again and again. "
                + _WAY_OUT.format(name=self.lost)
            )


def refuse_shared(envs: Sequence[Any]) -> None:
    """Raise a `SharedEnvironmentError` if two environments are the same object, also within wrappers."""
    places: dict[int, int] = {}
    for place, env in enumerate(envs):
        inner = innermost(env)
        first = places.setdefault(id(inner), place)
        if first != place:
            name = type(inner).__name__
            raise SharedEnvironmentError(
                f"environments {first} and {place} of {len(envs)} (from 0) are the same object, a {name}: each step "
                "of one would be a step of the other, and its actions, rewards and episodes would be mixed up. "
                + _WAY_OUT.format(name=name)
            )


def innermost(env: Any) -> Any:
    """Return the environment within all wrappers, also within such as are not of gymnasium's class."""
    seen: set[int] = set()
    while id(env) not in seen:
        seen.add(id(env))
        try:
            inner = getattr(env, "env", None)  # not by vars(), after which Python is slower to find all attributes
        except Exception:  # of a property of the user's own
            inner = None
        if isinstance(inner, gym.Env):
            env = inner
    return env


def _objects(vector_env: VectorEnv[Any, Any, Any]) -> Iterator[Any]:
    base = vector_env.unwrapped
    yield base
    for env in getattr(base, "envs", ()):
        yield innermost(env)
