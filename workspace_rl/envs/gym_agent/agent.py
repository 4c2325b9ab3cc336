"""The agent: environments that are reset at `t=0`, stepped at `t>0`, and written into a workspace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Self

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv

from workspace_rl.basics.arguments import checked
from workspace_rl.envs.contract.finite import FiniteCheck
from workspace_rl.envs.contract.infos import InfoKeys
from workspace_rl.envs.gym_agent import failures
from workspace_rl.envs.gym_agent.auto_reset import go_on, go_on_or_rest, repeat_last
from workspace_rl.envs.gym_agent.environments_agent import EnvironmentsAgent
from workspace_rl.envs.gym_agent.episodes import Episodes, Frame
from workspace_rl.envs.gym_agent.frames import Frames
from workspace_rl.envs.gym_agent.making import Maker
from workspace_rl.envs.gym_agent.seeding import ResetSeeds, one_for_each, seeds_apart
from workspace_rl.envs.make_env import Wrapper
from workspace_rl.envs.spaces.actions import action_adapter
from workspace_rl.envs.vector.async_envs import AsyncEnvs
from workspace_rl.envs.vector.make_vector_env import Vectorization
from workspace_rl.envs.vector.sync_envs import SyncEnvs
from workspace_rl.errors import (
    CompositionError,
    EnvironmentContractError,
    EnvironmentFailedError,
    WorkspaceRLError,
)
from workspace_rl.machine.devices import torch_device
from workspace_rl.machine.interrupts import stop_if_requested
from workspace_rl.workspace import Workspace


class GymAgent(EnvironmentsAgent):
    """Steps `n_envs` copies of a gymnasium environment.

    At `t=0` all environments are reset. At `t>0` the agent reads `action` at `t-1` (`[B, ...]`, B = `n_envs`). At each
    `t` it writes, with `output_prefix` "env/":

    - `env/env_obs`: `[B, ...]` in the space's dtype (float64 becomes float32), one variable `env/env_obs/<key>` for
      each leaf of a `Dict` or `Tuple` space;
    - `env/terminated`, `env/truncated`, `env/done`: `[B]` bool, `done` being their "or";
    - `env/reward`: `[B]` float32, the reward for the action at `t-1` (0 at resets);
    - `env/cumulated_reward`: `[B]` float32, the episode's return so far; `env/timestep`: `[B]` int64, its step;
    - `env/info/<key>`: `[B, *shape]`, for each of `info_keys`.

    With `auto_reset`, an episode's last observation stands at the step `t` where `done` is true; the next episode's
    first observation stands at `t+1`, where the action is ignored and the reward is 0 (gymnasium's `NEXT_STEP`). The
    pair `(t, t+1)` is no transition. Without, an environment that is done repeats its last frame with reward 0.

    Continuous actions are written in [-1, 1] and rescaled here to the space's bounds.

    Environments may keep, change and use again all arrays that they return or are given, and put anything into `info`,
    which is thrown away, `info_keys` excepted. Integers of another size than the space's are taken where they fit.
    """

    @checked(error=CompositionError, least={"n_envs": 1}, unless=("env", "vectorization"))
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
        timeout: float | None = 300.0,
        allow_nonfinite_observations: bool = False,
        info_keys: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        input_name: str = "action",
        output_prefix: str = "env/",
        name: str | None = None,
    ) -> None:
        """Build the environments; none is reset before the first step `t=0`.

        Args:
            env: an id, a function that returns a new environment each time it is called, or a vector environment with
                `NEXT_STEP` resets.
            n_envs: the number of environments.
            auto_reset: for training; for evaluation, False plays each environment's first episode only.
            vectorization: "sync" steps the environments in this process, "async" each in a process of its own,
                "vector_entry_point" all at once by the environment's own vector class. Unless given, Atari games with
                `atari` in `env_args` take their vector class, which is a fifth faster, and others "sync".
            wrappers: given to `make_env`.
            env_args: given to `make_env`; for Atari games `{"atari": {...}}` (see `simulators.atari.AtariOptions`).
            rescale_actions: continuous actions come in [-1, 1]; False if they come in the space's own units.
            clip_actions: clip actions that are out of bounds instead of raising.
            timeout: seconds that an environment of "async" may take for a step or a reset, None for no limit.
            allow_nonfinite_observations: let NaN and infinity pass in observations, for agents that handle them.
            info_keys: what of `info` is written, `{"action_mask": {"shape": [4], "dtype": "bool"}}`: it must stand
                there at each reset and step. "agent/mask" is what `info["agent"]["mask"]` holds.
            seed: where the seeds of the episodes are derived from.
            device: where the tensors that are written live.
            input_name: the variable with the actions.
            output_prefix: put before the names of all variables that are written.
            name: the agent's name.

        Raises:
            UnknownEnvironmentError: no environment has this id.
            MissingDependencyError: its simulator is not installed.
            UnsupportedSpaceError: a space is not supported, or `rescale_actions` needs bounds that are infinite.
            ConfigError: `info_keys` is not of this form.
            CompositionError: `n_envs` is not positive, or `env` does not fit the other arguments.
            SharedEnvironmentError: two environments are the same object.
            EnvironmentFailedError: making an environment raised an exception.
        """
        super().__init__(name=name)
        self.auto_reset, self.input_name, self.output_prefix = auto_reset, input_name, output_prefix
        self.output_device, self._seeds = torch_device(device), ResetSeeds(seed)
        #: What of infos is written (see `workspace_rl.envs.contract.infos`).
        self.info_keys = InfoKeys.of(info_keys)
        self._maker = Maker(env, n_envs, auto_reset, vectorization, wrappers, env_args or {}, timeout, self.info_keys)
        self._open(rescale_actions, clip_actions, allow_nonfinite_observations)

    def _open(self, rescale_actions: bool, clip_actions: bool, allow_nonfinite: bool) -> None:
        """Make the environments and look at them; they are closed again if they cannot be used."""
        #: While it is a list, the returns so far (`[B]` float64) of each step are appended to it.
        self.returns_log: list[np.ndarray] | None = None
        self._episodes: Episodes | None = None
        self.vector_env = self._make_vector_env(self._maker.n_envs)
        with ExitStack() as if_it_fails:
            if not self._maker.was_given:
                if_it_fails.callback(self.close)
            self._look_at_environments(rescale_actions, clip_actions, allow_nonfinite)
            if_it_fails.pop_all()

    def _make_vector_env(self, n_envs: int) -> VectorEnv[Any, Any, Any]:
        try:
            return self._maker.make()
        except (Exception, SystemExit) as error:
            if isinstance(error, WorkspaceRLError) and not isinstance(error, EnvironmentFailedError):
                raise
            failed = failures.at_making(error, n_envs, lambda index: self._place(index, n_envs))
            raise failed from failed.__cause__

    def _look_at_environments(self, rescale_actions: bool, clip_actions: bool, allow_nonfinite: bool) -> None:
        """Check that the environments can be used, and keep what is asked of them at every step."""
        mode = AutoresetMode((self.vector_env.metadata or {}).get("autoreset_mode", AutoresetMode.NEXT_STEP))
        if mode is not AutoresetMode.NEXT_STEP:
            raise CompositionError(f"the vector environment resets in mode {mode}; build it with NEXT_STEP.")
        self.n_envs = int(self.vector_env.num_envs)
        self.observation_space = space = self.vector_env.single_observation_space
        self.action_space = self.vector_env.single_action_space
        self.rescale_actions, self.clip_actions = rescale_actions, clip_actions
        # These use the memory of their observations again at the next step, others return new arrays.
        copy = isinstance(self.vector_env, SyncEnvs | AsyncEnvs)
        self._frames = Frames(space, copy=copy, device=self.output_device, info_keys=self.info_keys)
        self._act = action_adapter(self.action_space, self.n_envs, rescale_actions, clip_actions)
        self._first_bad = FiniteCheck(space, self.n_envs, "env_obs", observations=not allow_nonfinite).first_bad
        self._seeds_apart = seeds_apart(self.vector_env)

    # ---- running ----------------------------------------------------------------------------------------------------

    def forward(self, t: int, **kwargs: Any) -> None:
        """Reset all environments at `t=0`, step them at `t>0`.

        Raises:
            ActionError: an action does not fit the action space.
            UnknownVariableError, UnwrittenStepError: nobody wrote actions, or that at `t-1`.
            CompositionError: it was not run at `t=0` before.
            NonFiniteError: a reward, or an observation, is NaN or infinite.
            EnvironmentFailedError: an environment raised an exception, or its process died.
            EnvironmentTimeoutError: an environment in a process of its own took longer than `timeout`.
            EnvironmentContractError: an environment returned something that does not fit gymnasium's interface or its
                own observation space, or not what `info_keys` asks for.
            Stopped: ctrl-C or SIGTERM has asked for the end of a training, a score or a film.
        """
        stop_if_requested()
        self._write(self._reset() if t == 0 else self._step(t), t)

    def _write(self, frame: Frame, t: int) -> None:
        workspace: Any = self.workspace
        if workspace is None:
            workspace = self.running_workspace()
        prefix = self.output_prefix
        if isinstance(workspace, Workspace):  # the short way: eight variables a step
            workspace.set_several({prefix + name: value for name, value in frame.items()}, t, writer=self.name)
        else:
            for name, value in frame.items():
                self.set((prefix + name, t), value)

    def _reset(self) -> Frame:
        seeds = self._seeds.next(self.n_envs)
        seed: Any = list(seeds) if self._seeds_apart else seeds[0]
        if not self._seeds_apart:
            seeds = seeds[:1] * self.n_envs
        self._episodes = None
        try:
            observation, infos = self.vector_env.reset(seed=seed)
        except (Exception, SystemExit) as error:
            failed = failures.at_reset(error, seeds, self._place)
            raise failed from failed.__cause__
        self._episodes = Episodes(self.n_envs, seeds)
        self._episodes.take(self.vector_env)
        ends, cut = np.zeros((2, self.n_envs), dtype=bool)
        return self._make_frame(self._episodes, observation, np.zeros(self.n_envs), ends, cut, infos)

    def _step(self, t: int) -> Frame:
        episodes = self._episodes
        if episodes is None:
            raise CompositionError(f"{self.description()} was run at t={t} before t=0, which resets its environments.")
        if episodes.lost is not None:
            episodes.check()
        name = self.input_name
        action = self._act(self.get((name, t - 1)), name, t - 1)
        episodes.n_steps += 1
        try:
            observation, reward, terminated, truncated, infos = self.vector_env.step(action)
        except (Exception, SystemExit) as error:
            failed = failures.at_step(error, episodes, self.auto_reset, self._place)
            raise failed from failed.__cause__
        if self.auto_reset:
            go_on(episodes, reward, terminated, truncated)
            return self._make_frame(episodes, observation, reward, terminated, truncated, infos)
        finished, last = episodes.done, episodes.frame
        reward = go_on_or_rest(episodes, reward, terminated, truncated)
        frame = self._make_frame(episodes, observation, reward, terminated, truncated, infos, finished)
        repeat_last(frame, last, finished, episodes)
        return frame

    def _make_frame(
        self,
        episodes: Episodes,
        observation: Any,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: Any,
        ignored: np.ndarray | None = None,
    ) -> Frame:
        """Return the frame of a step, whose numbers are looked at except for those of `ignored` environments."""
        bad = self._first_bad(observation, reward, ignored)
        if bad is not None:
            raise failures.of_nonfinite(bad, episodes, self.observation_space, self.output_prefix, self._place)
        if self.returns_log is not None:
            self.returns_log.append(episodes.cumulated_reward)
        try:
            return self._frames.make(episodes, observation, reward, terminated, truncated, infos)
        except EnvironmentContractError as error:
            failures.tell_of_frame(error, episodes, self._place)
            raise

    @property
    def progress(self) -> tuple[int, int]:
        """What changes with each step and each reset; other threads may look at it."""
        return id(self._episodes), getattr(self._episodes, "n_steps", 0)

    # ---- seeds and renewal ------------------------------------------------------------------------------------------

    def seed(self, seed: int) -> Self:
        """Derive the seeds of all later resets from `seed`: each reset, and each environment in it, has its own.

        Raises:
            CompositionError: that is no whole number of at least 0.
        """
        self._seeds.derive_from(seed)
        return self

    def seed_episodes(self, seeds: Sequence[int]) -> Self:
        """Give the next reset (`t=0`) these seeds, one for each environment.

        Raises:
            CompositionError: they are not as many as the environments, one is no whole number, or several
                environments of a vector class have one seed for all of them.
        """
        seeds = one_for_each(seeds, self.n_envs)
        if self.n_envs > 1 and not self._seeds_apart:
            raise CompositionError(
                f"the {self.n_envs} environments of {type(self.vector_env.unwrapped).__name__} are reset by one seed "
                "together, so that none has a seed of its own. For episodes with seeds, as in evaluation, make them "
                "with vectorization='sync', or one at a time (n_envs=1)."
            )
        self._seeds.given = seeds
        return self

    def renew(self, seeds: Sequence[int] | None = None) -> None:
        """Close the environments and make new ones, in which nothing is left of the former ones' past.

        Args:
            seeds: for the next reset, one for each environment; where one seed resets all of them, it is the first.

        Raises:
            CompositionError: the agent was given a vector environment, which it cannot make anew, or there are not as
                many seeds as environments.
        """
        if self._maker.was_given:
            raise CompositionError(f"{self.description()} was given a vector environment and cannot make another one.")
        seeds = None if seeds is None else one_for_each(seeds, self.n_envs)
        self.close()
        self.vector_env = self._make_vector_env(self.n_envs)
        self._episodes = None
        if seeds is not None:
            self._seeds.given = seeds
