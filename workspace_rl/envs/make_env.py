"""Making one gymnasium environment by its name, with what it needs to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from workspace_rl.basics.arguments import checked
from workspace_rl.envs.providers import make_env_spec, make_quiet, missing_simulator
from workspace_rl.envs.rendering import configure_headless_rendering, let_camera_follow
from workspace_rl.envs.simulators.atari import AtariOptions, make_atari_env
from workspace_rl.errors import ConfigError, UnknownEnvironmentError, WorkspaceRLError

Wrapper = Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]]


@checked(error=UnknownEnvironmentError, unless=["atari"])
def make_env(
    name: str,
    wrappers: Sequence[Wrapper] = (),
    *,
    atari: AtariOptions | Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> gym.Env[Any, Any]:
    """Make the gymnasium environment `name`.

    Args:
        name: an id such as "CartPole-v1", or "your_module:YourEnv-v0".
        wrappers: applied in order, the last one outermost; each takes an environment and returns one.
        atari: the preprocessing of an Atari game; {} is the standard one, None leaves the game as it is.
        **kwargs: given to `gymnasium.make`, for instance `render_mode="rgb_array"`.

    Raises:
        UnknownEnvironmentError: no environment has this name.
        ConfigError: an option of `atari` is unknown, or has an impossible value; or the environment refuses an
            argument (but a TypeError of its own, for an argument that it does not know, is passed on).
        CompositionError: `atari` is given for what is no Atari game.
        MissingDependencyError: its simulator is not installed; the message names the line that installs it.
    """
    configure_headless_rendering()
    spec = make_env_spec(name)
    given = dict(kwargs)
    # gymnasium's checker costs more than many environments' own step; `gymnasium.utils.env_checker.check_env` does
    # its work once, when an environment is written.
    kwargs.setdefault("disable_env_checker", True)
    try:
        if atari is None:
            env = make_quiet(spec, lambda: gym.make(spec, **kwargs))
        else:
            env = make_atari_env(spec, AtariOptions.of(atari), **kwargs)
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        raise missing_simulator(name, error) from error
    except WorkspaceRLError:
        raise
    except (gym.error.Error, ArithmeticError, AssertionError, AttributeError, LookupError, ValueError) as error:
        if not given:
            raise
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"environment {name!r} cannot be made with the arguments {given}: {reason}") from error
    if spec.entry_point == "bbrl_gymnasium.envs:ContinuousCartPoleEnv":
        # It calls float() on an array with one element, which NumPy >= 2.4 refuses.
        env = gym.wrappers.TransformAction(env, _first_element, env.action_space)
    if not given.keys() & {"camera_id", "camera_name", "default_camera_config"}:
        let_camera_follow(env)
    for wrapper in wrappers:
        env = wrapper(env)
    return env


def with_true_spaces(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Return an environment whose observation space holds what it observes, where its own is known not to."""
    if env.spec is None or env.spec.entry_point != "bbrl_gymnasium.envs:LineMDPEnv":
        return env
    # Its episodes end at -1 or 5, beyond the ends of the line that it declares.
    return gym.wrappers.TransformObservation(env, _as_it_is, gym.spaces.Discrete(7, start=-1))


def _as_it_is(observation: Any) -> Any:
    return observation


def _first_element(action: Any) -> Any:
    return np.asarray(action).reshape(())
