"""Environments that the library brings along, and where those of other packages come from.

Importing this package registers the library's own ids; it imports no simulator.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import gymnasium as gym

from workspace_rl.errors import MissingDependencyError, UnknownEnvironmentError, did_you_mean

gym.register(
    "CartPoleSwingUp-v1", entry_point="workspace_rl.envs.cartpole_swingup:CartPoleSwingUpEnv", max_episode_steps=500
)
gym.register(
    "MinitaurBulletEnv-v0",
    entry_point="workspace_rl.envs.minitaur:MinitaurBulletEnv",
    max_episode_steps=1000,
    reward_threshold=15,
)


@dataclass(frozen=True)
class Provider:
    """A package that registers environments when it is imported."""

    pattern: str
    module: str
    install: str


#: Which package registers the ids that match a pattern. gymnasium's own ids need no import.
PROVIDERS = (
    Provider(
        r"(CartPoleContinuous|LineMDP|LineMDPContinuous|2DMDPContinuous|RocketLander|MazeMDP|DebugV|SingleStateMDP"
        r"|PendulumEnv|CartPolePixelsEnv|SwimmerBBRLEnv)-v\d+",
        "bbrl_gymnasium.envs",
        "pip install bbrl-gymnasium",
    ),
    Provider(r"ALE/.+|.+NoFrameskip-v\d+", "ale_py", 'pip install "workspace-rl[atari]"'),
    Provider(r"(?!Minitaur).+BulletEnv-v\d+", "pybullet_envs_gymnasium", 'pip install "workspace-rl[pybullet]"'),
)

#: What to install where one of gymnasium's own environments lacks its simulator.
EXTRAS = {"mujoco": "mujoco", "box2d": "box2d", "Box2D": "box2d", "ale_py": "atari", "pybullet": "pybullet"}


def make_env_spec(name: str) -> gym.envs.registration.EnvSpec:
    """Return gymnasium's specification of environment `name`, importing the package that registers it if need be.

    Raises:
        MissingDependencyError: the package is not installed; the message names the line that installs it.
        UnknownEnvironmentError: nobody registers the name; the message names the nearest one.
    """
    module, _, plain = name.rpartition(":")
    if module:
        _import(module, f"pip install {module}")
    for provider in PROVIDERS:
        if re.fullmatch(provider.pattern, plain):
            _import(provider.module, provider.install)
    try:
        return gym.spec(plain)
    except gym.error.Error as error:
        raise UnknownEnvironmentError(
            f"no environment is called {name!r}.{did_you_mean(plain, gym.registry)} "
            "An environment of your own must be registered first (gymnasium.register), or be named as "
            "'your_module:YourEnv-v0', so that your_module is imported and registers it."
        ) from error


def missing_simulator(name: str, error: Exception) -> MissingDependencyError:
    """Return the error for an environment whose simulator cannot be imported (`error` says which)."""
    extra = next((extra for word, extra in EXTRAS.items() if word in str(error)), None)
    install = f'pip install "workspace-rl[{extra}]"' if extra else "install the package named above"
    return MissingDependencyError(f"environment {name!r} lacks a package ({error}). To install it: {install}")


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Keep an import from printing to stdout and from warning developers, as some packages do."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        # Box2D's module does not survive its own DeprecationWarning where warnings are errors.
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _import(module: str, install: str) -> None:
    try:
        with quiet_import():
            importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(f"package {module!r} is missing ({error}). To install it: {install}") from error
