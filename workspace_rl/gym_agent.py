"""Environments as an agent: gymnasium's vector environments, read and written through a workspace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from torch import Tensor

from workspace_rl.agent import Agent
from workspace_rl.envs.atari import AtariVector
from workspace_rl.errors import CompositionError, RenderingError, UnsupportedSpaceError
from workspace_rl.make_env import Wrapper
from workspace_rl.seeding import TRAINING_EPISODES, episode_seeds
from workspace_rl.spaces import ActionAdapter, action_adapter, observation_leaves
from workspace_rl.vectorization import Vectorization, make_vector_env
from workspace_rl.workspace import Workspace

Frame = dict[str, Tensor]


class _Episodes:
    """The running episodes of all environments; a plain object, since a module's attributes are slow to set."""

    __slots__ = ("cumulated_reward", "done", "frame", "timestep")

    def __init__(self, n_envs: int) -> None:
        self.cumulated_reward = np.zeros(n_envs)
        self.timestep = np.zeros(n_envs, dtype=np.int64)
        self.done = np.zeros(n_envs, dtype=bool)
        self.frame: Frame = {}


class GymAgent(Agent):
    """Steps `n_envs` copies of a gymnasium environment.

    At `t=0` all environments are reset. At `t>0` the agent reads `action` at `t-1` (`[B, ...]`, B = `n_envs`). At each
    `t` it writes, with `output_prefix` "env/":

    - `env/env_obs`: `[B, ...]` in the space's dtype (float64 becomes float32), one variable `env/env_obs/<key>` for
      each leaf of a `Dict` or `Tuple` space;
    - `env/terminated`, `env/truncated`, `env/done`: `[B]` bool, `done` being their "or";
    - `env/reward`: `[B]` float32, the reward for the action at `t-1` (0 at resets);
    - `env/cumulated_reward`: `[B]` float32, the episode's return so far; `env/timestep`: `[B]` int64, its step.

    With `auto_reset`, an episode's last observation stands at the step `t` where `done` is true; the next episode's
    first observation stands at `t+1`, where the action is ignored and the reward is 0 (gymnasium's `NEXT_STEP`). The
    pair `(t, t+1)` is no transition. Without, an environment that is done repeats its last frame with reward 0.

    Continuous actions are written in [-1, 1] and rescaled here to the space's bounds.
    """

    _reset_modes: tuple[AutoresetMode, ...] = (AutoresetMode.NEXT_STEP,)

    def __init__(
        self,
        env: str | Callable[[], gym.Env[Any, Any]] | VectorEnv[Any, Any, Any],
        n_envs: int = 1,
        *,
        auto_reset: bool = True,
        vectorization: Vectorization | None = None,
        wrappers: Sequence[Wrapper] = (),
        env_args: dict[str, Any] | None = None,
        rescale_actions: bool = True,
        clip_actions: bool = False,
        seed: int = 0,
        device: torch.device | str = "cpu",
        input_name: str = "action",
        output_prefix: str = "env/",
        name: str | None = None,
    ) -> None:
        """Build the environments; none is reset before the first step `t=0`.

        Args:
            env: an id, a function that returns a new environment, or a vector environment with `NEXT_STEP` resets.
            n_envs: the number of environments.
            auto_reset: for training; for evaluation, False plays each environment's first episode only.
            vectorization: "sync" steps the environments in this process, "async" each in a process of its own,
                "vector_entry_point" all at once by the environment's own vector class. Unless given, Atari games with
                `atari` in `env_args` take their vector class, which is a fifth faster, and others "sync".
            wrappers: given to `make_env`.
            env_args: further arguments for the environment, given to `make_env`; for Atari games `{"atari": {...}}`
                (see `workspace_rl.envs.atari.AtariOptions`).
            rescale_actions: continuous actions come in [-1, 1]; False if they come in the space's own units.
            clip_actions: clip actions that are out of bounds instead of raising.
            seed: where the seeds of the episodes are derived from.
            device: where the tensors that are written live.
            input_name: the variable with the actions.
            output_prefix: put before the names of all variables that are written.
            name: the agent's name.

        Raises:
            UnknownEnvironmentError: no environment has this id.
            MissingDependencyError: its simulator is not installed.
            UnsupportedSpaceError: a space is of a kind that is not supported, or `rescale_actions` needs bounds that
                are infinite.
            CompositionError: `n_envs` is not positive, or `env` does not fit the other arguments.
        """
        super().__init__(name=name)
        if not isinstance(n_envs, int) or n_envs < 1:
            raise CompositionError(f"n_envs must be a whole number of at least 1, {n_envs} was given.")
        self.auto_reset = auto_reset
        self.input_name = input_name
        self.output_prefix = output_prefix
        self.output_device = torch.device(device)
        self.vector_env = make_vector_env(env, n_envs, auto_reset, vectorization, wrappers, env_args or {})
        mode = self.vector_env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        if mode not in self._reset_modes:
            raise CompositionError(f"the vector environment resets in mode {mode}; build it with NEXT_STEP.")
        # Atari's vector environment returns new arrays, others may use their memory again at the next step.
        self._copy = not isinstance(self.vector_env, AtariVector)
        self.n_envs = self.vector_env.num_envs
        self.observation_space = self.vector_env.single_observation_space
        self.action_space = self.vector_env.single_action_space
        self._leaves = self._observation_leaves()
        self._act = self._action_adapter(rescale_actions, clip_actions)
        self._seeds_apart = isinstance(self.vector_env.unwrapped, SyncVectorEnv | AsyncVectorEnv) or isinstance(
            self.vector_env, AtariVector
        )
        self._next_seeds: list[int] | None = None
        self._episodes: _Episodes | None = None
        self.seed(seed)

    def _observation_leaves(self) -> dict[str, Callable[[Any], np.ndarray]]:
        return observation_leaves(self.observation_space, "env_obs")

    def _action_adapter(self, rescale: bool, clip: bool) -> ActionAdapter:
        return action_adapter(self.action_space, self.n_envs, rescale, clip)

    # ---- running --------------------------------------------------------------------------------------------------

    def forward(self, t: int, **kwargs: Any) -> None:
        """Reset all environments at `t=0`, step them at `t>0`.

        Raises:
            ActionError: an action does not fit the action space.
            UnwrittenStepError: nobody wrote the action at `t-1`.
        """
        self._write(self._reset() if t == 0 else self._step(t), t)

    def _write(self, frame: Frame, t: int) -> None:
        workspace: Any = self.running_workspace()
        prefix, writer = self.output_prefix, self.name
        if isinstance(workspace, Workspace):  # the short way: eight variables a step
            for name, value in frame.items():
                workspace.set(prefix + name, t, value, writer=writer)
        else:
            for name, value in frame.items():
                self.set((prefix + name, t), value)

    def _read_action(self, t: int) -> Any:
        return self._act(self.get((self.input_name, t)), self.input_name, t)

    def _reset_seeds(self) -> list[int]:
        """Return the seeds of the next reset, unless they were given."""
        self._n_resets += 1
        return episode_seeds(self._seed, TRAINING_EPISODES, self._n_resets - 1, n=self.n_envs)

    def _reset(self) -> Frame:
        seeds = self._reset_seeds() if self._next_seeds is None else self._next_seeds
        self._next_seeds = None
        # Other vector classes may have one generator for all of their copies.
        seed: Any = list(seeds) if self._seeds_apart else seeds[0]
        observation, _ = self.vector_env.reset(seed=seed)
        self._episodes = _Episodes(self.n_envs)
        nothing = np.zeros(self.n_envs, dtype=bool)
        return self._make_frame(self._episodes, observation, np.zeros(self.n_envs), nothing, nothing)

    def _step(self, t: int) -> Frame:
        episodes = self._episodes
        if episodes is None:
            raise CompositionError(f"{self.description()} was run at t={t} before t=0, which resets its environments.")
        observation, reward, terminated, truncated, _ = self.vector_env.step(self._read_action(t - 1))
        if self.auto_reset:
            running = ~episodes.done
            episodes.cumulated_reward = (episodes.cumulated_reward + reward) * running
            episodes.timestep = (episodes.timestep + 1) * running
            return self._make_frame(episodes, observation, reward, terminated, truncated)
        finished, last = episodes.done, episodes.frame
        episodes.cumulated_reward = np.where(finished, episodes.cumulated_reward, episodes.cumulated_reward + reward)
        episodes.timestep = np.where(finished, episodes.timestep, episodes.timestep + 1)
        frame = self._make_frame(episodes, observation, np.where(finished, 0.0, reward), terminated, truncated)
        if finished.any():
            repeat = torch.from_numpy(finished).to(self.output_device)
            for name, value in frame.items():
                if name != "reward":
                    mask = repeat.view(-1, *[1] * (value.ndim - 1))
                    frame[name] = torch.where(mask, last[name], value)
            episodes.done = episodes.done | finished
        return frame

    def _make_frame(
        self,
        episodes: _Episodes,
        observation: Any,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
    ) -> Frame:
        episodes.done = terminated | truncated
        frame: Frame = {}
        for name, leaf in self._leaves.items():
            array = leaf(observation)
            frame[name] = torch.from_numpy(array.copy() if self._copy else array)
        frame["terminated"] = torch.from_numpy(terminated.copy())
        frame["truncated"] = torch.from_numpy(truncated.copy())
        frame["done"] = torch.from_numpy(episodes.done)
        frame["reward"] = torch.from_numpy(reward.astype(np.float32))
        frame["cumulated_reward"] = torch.from_numpy(episodes.cumulated_reward.astype(np.float32))
        frame["timestep"] = torch.from_numpy(episodes.timestep)
        if self.output_device.type != "cpu":
            frame = {name: value.to(self.output_device, non_blocking=True) for name, value in frame.items()}
        episodes.frame = frame
        return frame

    # ---- seeds, sizes, the end ------------------------------------------------------------------------------------

    def seed(self, seed: int) -> Self:
        """Derive the seeds of all later resets from `seed`: each reset, and each environment in it, has its own."""
        self._seed: Any = seed
        self._n_resets = 0
        return self

    def seed_episodes(self, seeds: Sequence[int]) -> Self:
        """Give the next reset (`t=0`) these seeds, one for each environment."""
        if len(seeds) != self.n_envs:
            raise CompositionError(f"{self.n_envs} environments need as many seeds, {len(seeds)} were given.")
        self._next_seeds = [int(seed) for seed in seeds]
        return self

    @property
    def observation_names(self) -> list[str]:
        """The names of the variables that hold the observation."""
        return [self.output_prefix + name for name in self._leaves]

    @property
    def observation_size(self) -> int:
        """The number of features of a one-dimensional observation.

        Raises:
            UnsupportedSpaceError: the observation is not a vector of floating-point numbers.
        """
        space = self.observation_space
        if isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and np.issubdtype(space.dtype, np.floating):
            return space.shape[0]
        raise UnsupportedSpaceError(
            f"the observation space {space} is not a vector of floating-point numbers. Wrap the environment so that it "
            "gives one, for instance with gymnasium.wrappers.FlattenObservation or DtypeObservation."
        )

    @property
    def action_size(self) -> int:
        """The number of components of a continuous action, or of the choices of a discrete one.

        Raises:
            UnsupportedSpaceError: the action is neither a vector nor a single choice.
        """
        space = self.action_space
        if isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
            return space.shape[0]
        if isinstance(space, gym.spaces.Discrete):
            return int(space.n)
        raise UnsupportedSpaceError(f"the action space {space} is neither a vector of numbers nor a single choice.")

    @property
    def action_kind(self) -> str:
        """The kind of actions: "continuous" (a vector), "discrete" (one choice), or "multi-discrete" (several)."""
        if isinstance(self.action_space, gym.spaces.Box):
            return "continuous"
        return "discrete" if isinstance(self.action_space, gym.spaces.Discrete) else "multi-discrete"

    def render(self) -> list[np.ndarray]:
        """Return each environment's picture, `[H, W, 3]` uint8.

        Raises:
            RenderingError: the environments were not made with `env_args={"render_mode": "rgb_array"}`.
        """
        if self.vector_env.render_mode != "rgb_array":
            raise RenderingError(
                f"the environments of {self.description()} give no pictures: make them with "
                'env_args={"render_mode": "rgb_array"}, if they support that.'
            )
        return [np.asarray(picture) for picture in self.vector_env.render() or ()]

    def close(self) -> None:
        """Close the environments."""
        self.vector_env.close()
