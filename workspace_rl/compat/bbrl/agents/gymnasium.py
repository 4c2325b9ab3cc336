"""`bbrl.agents.gymnasium`."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import VectorEnv
from gymnasium.wrappers import Autoreset
from torch import Tensor, nn

import workspace_rl
from workspace_rl.basics.seeding import VIDEO_EPISODES, episode_seeds
from workspace_rl.compat.bbrl.agents.agent import Agent, SerializableAgent, TimeAgent
from workspace_rl.compat.bbrl.agents.frames import actions_of_each, in_one_batch, kept, observation_parts
from workspace_rl.compat.bbrl.agents.seeding import BBRLSeeds, SeedableAgent
from workspace_rl.compat.bbrl.agents.utils import TemporalAgent
from workspace_rl.errors import CompositionError, UnsupportedSpaceError, WorkspaceError


def make_env(env_name: str, autoreset: bool = False, wrappers: Sequence[Any] = (), **kwargs: Any) -> gym.Env[Any, Any]:
    """Make an environment; with `autoreset`, a step after an episode's end starts the next one."""
    env = workspace_rl.make_env(env_name, wrappers, **kwargs)
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
    workspace_rl.record_video(stage, actor, film, episode_seeds(0, VIDEO_EPISODES, n=1))
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


class ParallelGymAgent(workspace_rl.GymAgent, GymAgent):
    """The library's `GymAgent` with BBRL's seeds, dtypes and actions (in the environment's own units).

    Observations, rewards and actions pass as they are: the spaces are not asked. The environments reset themselves if
    they have gymnasium's `Autoreset` wrapper. Then `include_last_state=False` shows the next episode's first
    observation in place of the last one.
    """

    envs: list[Any]

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
        self._make_one = partial(make_env_fn, **(make_env_args or {}))
        super().__init__(self._make_one, num_envs, rescale_actions=False, name=options.pop("name", None))
        self.num_envs, self.make_env_fn = num_envs, make_env_fn
        self._set_options(**options)
        self._seeds = BBRLSeeds(self.default_seed)
        self.include_last_state |= not self.auto_reset
        self.seed(self.default_seed if seed is None else seed)

    def _make_vector_env(self, n_envs: int) -> VectorEnv[Any, Any, Any]:
        return _Copies([self._make_one() for _ in range(n_envs)])

    def _look_at_environments(self, *options: bool) -> None:
        self.envs = self.vector_env.envs  # type: ignore[attr-defined]
        self.n_envs = len(self.envs)
        self.observation_space = self.vector_env.single_observation_space
        self.action_space = self.vector_env.single_action_space
        self.auto_reset = _resets_itself(self.envs[0])
        self._played: _Played | None = None

    @property
    def episode_returns(self) -> np.ndarray:
        """The returns so far of the running episodes, or of those that are over, `[B]` float64."""
        returns = self._played.cumulated_reward if self._played is not None else []
        return np.array([np.asarray(one, dtype=np.float64).item() for one in returns])

    def seed(self, seed: int) -> Self:
        """Set the seed and return the agent."""
        super().seed(seed)
        self._seed = self._seeds.seed
        return self

    def _reset(self) -> dict[str, Tensor]:
        seeds = self._seeds.next(self.num_envs)
        self._played = played = _Played(self.num_envs)
        for k, (env, seed) in enumerate(zip(self.envs, seeds, strict=True)):
            observation, _ = env.reset(seed=seed)
            played.parts[k] = observation_parts(observation, self.observation_space)
        return played.frame()

    def _step(self, t: int) -> dict[str, Tensor]:
        played = self._played
        if played is None:
            raise CompositionError(f"{self.description()} was run at t={t} before t=0, which resets its environments.")
        actions = self._read_action(t - 1)
        for k, env in enumerate(self.envs):
            if played.rests[k]:
                played.reward[k] = 0.0
                continue
            try:
                observation, reward, terminated, truncated, _ = env.step(actions[k])
            except Exception as error:
                if actions[k] == {}:
                    raise self._unwritten_action(t - 1) from error
                raise
            played.add(k, reward, terminated, truncated)
            if (terminated or truncated) and not self.include_last_state:
                observation = env.step(None)[0]
            played.parts[k] = observation_parts(observation, self.observation_space)
        frame = played.frame()
        played.begin_anew() if self.auto_reset else played.rest()
        return frame

    def _read_action(self, t: int) -> list[Any]:
        """Return each environment's action: from `action` if somebody wrote it, else from all below `action/`."""
        variables = self.running_workspace().variables
        if self.input in variables:
            action = self.get((self.input, t))
            if len(action) != self.num_envs:
                raise AssertionError(f"Incompatible number of envs ({len(action)} vs {self.num_envs})")
            return actions_of_each(action, self.num_envs)
        parts: dict[str, Any] = {}
        for name in variables:
            if name.startswith(f"{self.input}/"):
                *path, last = name.removeprefix(f"{self.input}/").split("/")
                inside = parts
                for key in path:
                    inside = inside.setdefault(key, {})
                inside[last] = self.get((name, t))
        return actions_of_each(parts, self.num_envs)

    def _unwritten_action(self, t: int) -> WorkspaceError:
        try:
            self.get((self.input, t))
        except WorkspaceError as error:
            return error
        raise AssertionError("the variable has been looked for before")  # pragma: no cover

    def _write(self, frame: Mapping[str, Tensor], t: int) -> None:
        self.set_obs(frame, t)


class _Copies(VectorEnv[Any, Any, Any]):
    """The environments in what the library expects to close and to draw them by."""

    def __init__(self, envs: list[Any]) -> None:
        self.envs, self.num_envs = envs, len(envs)
        self.metadata = dict(getattr(envs[0], "metadata", None) or {})
        self.render_mode = getattr(envs[0], "render_mode", None)
        self.single_observation_space: Any = getattr(envs[0], "observation_space", None)
        self.single_action_space: Any = getattr(envs[0], "action_space", None)

    def render(self) -> tuple[Any, ...]:
        return tuple(env.render() for env in self.envs)

    def close_extras(self, **options: Any) -> None:
        with ExitStack() as stack:  # all of them, also where one raises
            for env in self.envs:
                stack.callback(env.close)


class _Played:
    """The last step of all environments, with returns in whatever type of number the rewards are, as BBRL sums them."""

    def __init__(self, n_envs: int) -> None:
        self.parts: list[dict[str, Any]] = [{} for _ in range(n_envs)]
        self.reward: list[Any] = [0.0] * n_envs
        self.cumulated_reward: list[Any] = [0.0] * n_envs
        self.terminated: list[Any] = [False] * n_envs
        self.truncated: list[Any] = [False] * n_envs
        self.timestep = [0] * n_envs
        #: Environments whose only episode is over.
        self.rests = [False] * n_envs

    def add(self, k: int, reward: Any, terminated: Any, truncated: Any) -> None:
        self.reward[k], self.terminated[k], self.truncated[k] = reward, terminated, truncated
        self.cumulated_reward[k] += reward
        self.timestep[k] += 1

    def frame(self) -> dict[str, Tensor]:
        frame = {name: in_one_batch([one[name] for one in self.parts], name) for name in self.parts[0]}
        terminated, truncated = np.array(self.terminated, dtype=bool), np.array(self.truncated, dtype=bool)
        frame["terminated"], frame["truncated"] = torch.from_numpy(terminated), torch.from_numpy(truncated)
        frame["done"] = torch.from_numpy(terminated | truncated)
        frame["reward"] = torch.from_numpy(np.array(self.reward, dtype=np.float32))
        frame["cumulated_reward"] = torch.from_numpy(np.array(self.cumulated_reward, dtype=np.float32))
        frame["timestep"] = torch.tensor(self.timestep)
        return frame

    def begin_anew(self) -> None:
        """Begin new episodes where one is over; the step that resets an environment counts to 0."""
        for k in self._over():
            self.cumulated_reward[k], self.timestep[k] = 0.0, -1

    def rest(self) -> None:
        """Let environments whose episode is over rest; others may share the memory of their last observation."""
        for k in self._over():
            if not self.rests[k]:
                self.rests[k], self.parts[k] = True, {name: kept(part) for name, part in self.parts[k].items()}

    def _over(self) -> list[int]:
        return [k for k, ends in enumerate(zip(self.terminated, self.truncated, strict=True)) if any(ends)]


def _resets_itself(env: Any) -> bool:
    while isinstance(env, gym.Wrapper):
        if isinstance(env, Autoreset):
            return True
        env = env.env
    return False


def _size(space: gym.Space[Any]) -> Any:
    if space.shape is None:
        raise UnsupportedSpaceError(f"the space {space} has no single size; ask for those of its parts.")
    if len(space.shape) > 1:
        warnings.warn(f"the space {space} is no vector: its shape is returned, not a number.", stacklevel=3)
        return tuple(space.shape)
    return space.shape[0] if space.shape else space.n  # type: ignore[attr-defined]
