"""`bbrl.agents.gymnasium`."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import Autoreset
from torch import Tensor, nn

from workspace_rl import gym_agent, video
from workspace_rl import make_env as library_make_env
from workspace_rl.compat.bbrl.agents.agent import Agent, SerializableAgent, TimeAgent
from workspace_rl.compat.bbrl.agents.seeding import SeedableAgent
from workspace_rl.compat.bbrl.agents.utils import TemporalAgent
from workspace_rl.errors import EnvironmentFailedError, UnsupportedSpaceError
from workspace_rl.seeding import VIDEO_EPISODES, episode_seeds


def make_env(env_name: str, autoreset: bool = False, wrappers: Sequence[Any] = (), **kwargs: Any) -> gym.Env[Any, Any]:
    """Make an environment; with `autoreset`, a step after an episode's end starts the next one."""
    env = library_make_env(env_name, wrappers, **kwargs)
    return Autoreset(env) if autoreset else env


def record_video(env: gym.Env[Any, Any], policy: Agent, path: str | Path) -> Path:
    """Film one episode and return the film's path.

    It stands where BBRL writes it, in `path` without its suffix as `rl-video-episode-0.mp4`; where `path` ends in
    .mp4, there as well. `env` is made with `render_mode="rgb_array"` and stays open.
    """
    path = Path(path)
    film = path.with_suffix("") / "rl-video-episode-0.mp4"
    stage = ParallelGymAgent(lambda: env, 1)
    stage.auto_reset = False
    actor = policy.agent if isinstance(policy, TemporalAgent) else policy
    video.record_video(stage, actor, film, episode_seeds(0, VIDEO_EPISODES, n=1))
    return Path(shutil.copyfile(film, path)) if path.suffix == ".mp4" else film


class GymAgent(TimeAgent, SeedableAgent, SerializableAgent):
    """What BBRL's environments have in common."""

    default_seed = 42

    def __init__(self, seed: int | None = None, name: str | None = None, **options: Any) -> None:
        """Create an agent.

        `options` are `input_string`, `output_string`, `reward_at_t`, `include_last_state` and `verbose`.
        """
        super().__init__(seed, name=name)
        self._set_options(**options)
        self._timestep_from_reset, self._nb_reset = 0, 1
        self.ghost_params = nn.Parameter(torch.Tensor())  # its device is the agent's
        self.observation_space: Any = None
        self.action_space: Any = None

    def _set_options(
        self,
        input_string: str = "action",
        output_string: str = "env/",
        reward_at_t: bool = False,
        include_last_state: bool = True,
        verbose: bool = False,
    ) -> None:
        self.input, self.output, self.verbose = input_string, output_string, verbose
        self.reward_at_t, self.include_last_state = reward_at_t, include_last_state

    def forward(self, t: int, *args: Any, **kwargs: Any) -> None:
        """Count resets and steps; for environments of one's own, whose `forward` calls this first."""
        if self._seed is None:
            self.seed(self.default_seed)
        self._timestep_from_reset = 1 if t == 0 else self._timestep_from_reset + 1
        self._nb_reset += t == 0

    def set_obs(self, observations: Mapping[str, Tensor], t: int) -> None:
        """Write a frame; with `reward_at_t`, its rewards one step earlier."""
        device = self.ghost_params.device
        for name, value in observations.items():
            value = value if value.device == device else value.to(device)
            if self.reward_at_t and name in ("reward", "cumulated_reward"):
                if t > 0:
                    self.set((self.output + name, t - 1), value)
                value = torch.zeros_like(value) if name == "reward" else value
            self.set((self.output + name, t), value)

    def get_observation_space(self) -> gym.Space[Any]:
        """Return the observation space."""
        return self._known(self.observation_space, "observation")

    def get_action_space(self) -> gym.Space[Any]:
        """Return the action space."""
        return self._known(self.action_space, "action")

    def _known(self, space: gym.Space[Any] | None, kind: str) -> gym.Space[Any]:
        if space is None:
            raise ValueError(f"the {kind} space of {self.description()} is not known.")
        return space

    def get_obs_and_actions_sizes(self) -> tuple[Any, Any]:
        """Return a vector's length, a discrete space's number of values, the shape of anything else."""
        return _size(self.get_observation_space()), _size(self.get_action_space())

    def is_continuous_action(self) -> bool:
        """Return whether actions are arrays of numbers."""
        return isinstance(self.action_space, gym.spaces.Box)

    def is_discrete_action(self) -> bool:
        """Return whether an action is one of several."""
        return isinstance(self.action_space, gym.spaces.Discrete)

    def is_continuous_state(self) -> bool:
        """Return whether observations are arrays of numbers."""
        return isinstance(self.observation_space, gym.spaces.Box)

    def is_discrete_state(self) -> bool:
        """Return whether an observation is one of several."""
        return isinstance(self.observation_space, gym.spaces.Discrete)


class ParallelGymAgent(gym_agent.GymAgent, GymAgent):
    """The library's `GymAgent` with BBRL's seeds, dtypes and actions (in the environment's own units, unchecked).

    The environments reset themselves if they have gymnasium's `Autoreset` wrapper. Then `include_last_state=False`
    shows the next episode's first observation in place of the last one.
    """

    _reset_modes = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)

    def __init__(
        self,
        make_env_fn: Callable[..., gym.Env[Any, Any]],
        num_envs: int,
        make_env_args: Mapping[str, Any] | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        """Make `num_envs` environments by `make_env_fn(**make_env_args)`; `options` are those of `GymAgent`."""
        if num_envs < 1:
            raise AssertionError(f"n_envs must be > 0, {num_envs} was given.")
        envs = [make_env_fn(**(make_env_args or {})) for _ in range(num_envs)]
        auto_reset = _resets_itself(envs[0])
        source: Any = iter(envs).__next__
        if auto_reset and not options.get("include_last_state", True):
            source = SyncVectorEnv([source] * num_envs, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
        super().__init__(source, num_envs, auto_reset=auto_reset, rescale_actions=False, name=options.pop("name", None))
        self.envs, self.num_envs, self.make_env_fn = envs, num_envs, make_env_fn
        self._set_options(**options)
        self.include_last_state |= not auto_reset
        self.seed(self.default_seed if seed is None else seed)

    def _reset_seeds(self) -> list[int]:
        self._n_resets += 1
        return [self.num_envs * (self._n_resets + 1) * self._seed + k + 1 for k in range(self.num_envs)]

    def _observation_leaves(self) -> dict[str, Any]:
        leaves = super()._observation_leaves()
        return {name: lambda observation, leaf=leaf: _as_bbrl(leaf(observation)) for name, leaf in leaves.items()}

    def _finite_check(self, observations: bool) -> Any:
        return lambda *frame: None  # BBRL looks at no numbers

    def _fail(self, error: BaseException, *context: Any) -> NoReturn:
        original = error.__cause__ if isinstance(error, EnvironmentFailedError) and error.__cause__ else error
        raise original from original.__cause__  # as the environment raised it

    def _action_adapter(self, rescale: bool, clip: bool) -> Any:
        return self._as_actions

    def _as_actions(self, action: Tensor) -> Any:
        """Return what the vector environment takes for `[B, ...]`: float64 arrays, or a list of choices."""
        if len(action) != self.num_envs:
            raise AssertionError(f"Incompatible number of envs ({len(action)} vs {self.num_envs})")
        if action.ndim > 1:
            array = action.detach().cpu().numpy()
            return array.astype(np.float64) if action.is_floating_point() else array
        if action.is_floating_point():
            raise AssertionError(f"{action.tolist()} are not integers, as an action [B] must hold.")
        return action.tolist()

    def _read_action(self, t: int) -> Any:
        return self._read_part(self.action_space, self.input, t)

    def _read_part(self, space: gym.Space[Any], name: str, t: int) -> Any:
        if isinstance(space, gym.spaces.Dict):
            return {key: self._read_part(part, f"{name}/{key}", t) for key, part in space.items()}
        return self._as_actions(self.get((name, t)))

    def _step(self, t: int) -> dict[str, Tensor]:
        episodes = self._episodes
        if not self.include_last_state and episodes is not None:
            # The frame before showed the new episode already. Its steps count from -1, as BBRL has it.
            episodes.cumulated_reward = np.where(episodes.done, 0.0, episodes.cumulated_reward)
            episodes.timestep = np.where(episodes.done, -1, episodes.timestep)
            episodes.done = np.zeros_like(episodes.done)
        return super()._step(t)

    def _write(self, frame: Mapping[str, Tensor], t: int) -> None:
        self.set_obs(frame, t)


def _resets_itself(env: Any) -> bool:
    while isinstance(env, gym.Wrapper):
        if isinstance(env, Autoreset):
            return True
        env = env.env
    return False


def _as_bbrl(array: np.ndarray) -> np.ndarray:
    """Return an observation in BBRL's dtypes: float32 or int64."""
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64, copy=False)


def _size(space: gym.Space[Any]) -> Any:
    if space.shape is None:
        raise UnsupportedSpaceError(f"the space {space} has no single size; ask for those of its parts.")
    if len(space.shape) > 1:
        warnings.warn(f"the space {space} is no vector: its shape is returned, not a number.", stacklevel=3)
        return tuple(space.shape)
    return space.shape[0] if space.shape else space.n  # type: ignore[attr-defined]
