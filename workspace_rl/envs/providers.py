"""Which package registers which environments, and what to install for them."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

import workspace_rl.envs.simulators  # noqa: F401 - registers the library's own environments
from workspace_rl.envs.simulators.quiet import quiet_native_output
from workspace_rl.errors import MissingDependencyError, UnknownEnvironmentError, did_you_mean
from workspace_rl.messages.installation import how_to_install


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
    Provider(r"ALE/.+|.+NoFrameskip-v\d+", "ale_py", how_to_install("atari")),
    Provider(
        r"Panda(Reach|Push|Slide|PickAndPlace|Stack|Flip)(Joints)?(Dense)?-v\d+", "panda_gym", how_to_install("goals")
    ),
    Provider(r"(?!Minitaur).+BulletEnv-v\d+", "pybullet_envs_gymnasium", how_to_install("pybullet")),
)

#: What to install where one of gymnasium's own environments lacks its simulator.
EXTRAS = {
    "mujoco": "mujoco",
    "box2d": "box2d",
    "Box2D": "box2d",
    "ale_py": "atari",
    "opencv": "atari",
    "pybullet": "pybullet",
}


def make_env_spec(name: str) -> gym.envs.registration.EnvSpec:
    """Return gymnasium's specification of environment `name`, importing the package that registers it if need be.

    Raises:
        MissingDependencyError: the package is not installed; the message names the line that installs it.
        UnknownEnvironmentError: nobody registers the name; the message names the nearest one.
    """
    module, _, plain = name.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UnknownEnvironmentError(
                f"module {module!r}, which should register environment {plain!r}, cannot be imported ({error}). "
                "Is it installed, or in a folder where Python looks for modules (PYTHONPATH)?"
            ) from error
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


def make_quiet(spec: gym.envs.registration.EnvSpec, make: Callable[[], gym.Env[Any, Any]]) -> gym.Env[Any, Any]:
    """Return `make()`, keeping what simulators say about themselves from the user."""
    package = str(spec.entry_point).partition(":")[0]
    if package.startswith(("gymnasium.envs.mujoco", "bbrl_gymnasium")):
        with contextlib.suppress(ImportError):  # told when the environment is made
            mujoco = importlib.import_module("mujoco")
            if mujoco.get_mju_user_warning() is None:
                # Otherwise MuJoCo prints its warnings, and writes them to a file in the working directory.
                mujoco.set_mju_user_warning(_warn_of_mujoco)
    if package.startswith("pybullet_envs_gymnasium"):
        # PyBullet prints a line when it is imported, and one when it is connected to, which is at the first reset.
        with quiet_import(), quiet_native_output():
            env = make()
            env.reset()
        return env
    # Panda's robots print nothing but PyBullet's lines, at once.
    with quiet_import(), quiet_native_output() if package.startswith("panda_gym") else contextlib.nullcontext():
        return make()


def _warn_of_mujoco(text: str) -> None:
    if "is deprecated" not in text:  # of gymnasium's own model files
        warnings.warn(f"MuJoCo: {text.strip()}", RuntimeWarning, stacklevel=2)


def missing_simulator(name: str, error: Exception) -> MissingDependencyError:
    """Return the error for an environment whose simulator cannot be imported (`error` says which)."""
    extra = next((extra for word, extra in EXTRAS.items() if word in str(error)), None)
    install = how_to_install(extra) if extra else "install the package named above"
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
        with quiet_import(), quiet_native_output():
            package = importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(f"package {module!r} is missing ({error}). To install it: {install}") from error
    if module == "ale_py":
        # Its emulators set this when they are made, but only after they have printed a banner.
        package.ALEInterface.setLoggerMode(package.LoggerMode.Error)
