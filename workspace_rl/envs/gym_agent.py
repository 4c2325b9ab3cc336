"""Environments as an agent: gymnasium's vector environments, read and written through a workspace."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NoReturn, Self

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from torch import Tensor

from workspace_rl.agent import Agent
from workspace_rl.basics.arguments import checked
from workspace_rl.basics.seeding import TRAINING_EPISODES, checked_seed, checked_seeds, episode_seeds
from workspace_rl.envs.contract.checked_vector import CheckedVector
from workspace_rl.envs.contract.failures import failure
from workspace_rl.envs.contract.finite import FiniteCheck, NonFinite
from workspace_rl.envs.contract.shared_environments import Hold
from workspace_rl.envs.facts import EnvironmentFacts, facts_of
from workspace_rl.envs.make_env import Wrapper
from workspace_rl.envs.simulators.atari import AtariVector
from workspace_rl.envs.spaces.actions import ActionAdapter, action_adapter
from workspace_rl.envs.spaces.observations import check_choices, observation_leaves, space_leaves
from workspace_rl.envs.spaces.sizes import action_kind, action_size, observation_choices, observation_size
from workspace_rl.envs.vector.async_envs import AsyncEnvs
from workspace_rl.envs.vector.make_vector_env import Vectorization, make_vector_env
from workspace_rl.envs.vector.sync_envs import SyncEnvs
from workspace_rl.errors import (
    CompositionError,
    EnvironmentContractError,
    EnvironmentFailedError,
    NonFiniteError,
    RenderingError,
    WorkspaceRLError,
)
from workspace_rl.machine.devices import torch_device
from workspace_rl.machine.interrupts import stop_if_requested
from workspace_rl.workspace import Workspace

Frame = dict[str, Tensor]


class _Episodes(Hold):
    """The running episodes of all environments; a plain object, since a module's attributes are slow to set."""

    __slots__ = ("cumulated_reward", "done", "frame", "n_steps", "seeds", "timestep")

    def __init__(self, n_envs: int, seeds: list[int]) -> None:
        super().__init__()
        self.seeds = seeds
        #: Steps since the reset, resets after episodes included.
        self.n_steps = 0
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

    Environments may keep, change and use again all arrays that they return or are given, and put anything into `info`,
    which is thrown away. Integers of another size than the space's are taken where they fit.
    """

    _reset_modes: tuple[AutoresetMode, ...] = (AutoresetMode.NEXT_STEP,)

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
            env_args: further arguments for the environment, given to `make_env`; for Atari games `{"atari": {...}}`
                (see `workspace_rl.envs.simulators.atari.AtariOptions`).
            rescale_actions: continuous actions come in [-1, 1]; False if they come in the space's own units.
            clip_actions: clip actions that are out of bounds instead of raising.
            timeout: seconds that an environment in a process of its own ("async") may take for a step or a reset, None
                for no limit. In this process nothing can stop an environment that hangs, except ctrl-C.
            allow_nonfinite_observations: let NaN and infinity pass in observations, for agents of yours that handle
                them, as where they stand for missing measurements. Rewards are always finite.
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
            SharedEnvironmentError: two environments are the same object.
            EnvironmentFailedError: making an environment raised an exception.
        """
        super().__init__(name=name)
        self.auto_reset = auto_reset
        self.input_name = input_name
        self.output_prefix = output_prefix
        self.output_device = torch_device(device)
        self._env_label = _label(env)
        self._episodes: _Episodes | None = None
        #: While it is a list, the returns so far (`[B]` float64) of each step are appended to it.
        self.returns_log: list[np.ndarray] | None = None
        self._given_vector_env = isinstance(env, VectorEnv)
        self._make = partial(make_vector_env, env, n_envs, auto_reset, vectorization, wrappers, env_args or {}, timeout)
        self.vector_env = self._make_vector_env(n_envs)
        with ExitStack() as if_it_fails:
            if not self._given_vector_env:
                if_it_fails.callback(self.close)
            self._look_at_environments(rescale_actions, clip_actions)
            if_it_fails.pop_all()
        self._next_seeds: list[int] | None = None
        self._first_bad = self._finite_check(not allow_nonfinite_observations)
        self.seed(seed)

    def _look_at_environments(self, rescale_actions: bool, clip_actions: bool) -> None:
        """Check that the environments can be used, and keep what is asked of them at every step."""
        mode = AutoresetMode((self.vector_env.metadata or {}).get("autoreset_mode", AutoresetMode.NEXT_STEP))
        if mode not in self._reset_modes:
            raise CompositionError(f"the vector environment resets in mode {mode}; build it with NEXT_STEP.")
        # These use the memory of their observations again at the next step, others return new arrays.
        self._copy = isinstance(self.vector_env, SyncEnvs | AsyncEnvs)
        self.n_envs = int(self.vector_env.num_envs)
        self.observation_space = self.vector_env.single_observation_space
        self.action_space = self.vector_env.single_action_space
        self.rescale_actions, self.clip_actions = rescale_actions, clip_actions
        self._leaves = self._observation_leaves()
        self._of_choices = observation_choices(self.observation_space) is not None
        self._act = self._action_adapter(rescale_actions, clip_actions)
        self._seeds_apart = isinstance(self.vector_env.unwrapped, SyncVectorEnv | AsyncVectorEnv) or isinstance(
            self.vector_env, AtariVector
        )

    def _make_vector_env(self, n_envs: int) -> VectorEnv[Any, Any, Any]:
        try:
            return self._make()
        except (Exception, SystemExit) as error:
            if isinstance(error, WorkspaceRLError) and not isinstance(error, EnvironmentFailedError):
                raise
            self._fail(error, n_envs, "while it was made")

    def _observation_leaves(self) -> dict[str, Callable[[Any], np.ndarray]]:
        return observation_leaves(self.observation_space, "env_obs")

    def _action_adapter(self, rescale: bool, clip: bool) -> ActionAdapter:
        return action_adapter(self.action_space, self.n_envs, rescale, clip)

    # ---- running --------------------------------------------------------------------------------------------------

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
                own observation space.
            Stopped: ctrl-C or SIGTERM has asked for the end of a training, a score or a film.
        """
        stop_if_requested()
        self._write(self._reset() if t == 0 else self._step(t), t)

    def _write(self, frame: Frame, t: int) -> None:
        workspace: Any = self.running_workspace()
        prefix = self.output_prefix
        if isinstance(workspace, Workspace):  # the short way: eight variables a step
            workspace.set_several({prefix + name: value for name, value in frame.items()}, t, writer=self.name)
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
        if not self._seeds_apart:
            seeds = seeds[:1] * self.n_envs
        self._episodes = None
        try:
            observation, _ = self.vector_env.reset(seed=seed)
        except (Exception, SystemExit) as error:
            self._fail(error, self.n_envs, "at its reset", seeds)
        self._episodes = _Episodes(self.n_envs, seeds)
        self._episodes.take(self.vector_env)
        running = np.zeros((2, self.n_envs), dtype=bool)
        return self._make_frame(self._episodes, observation, np.zeros(self.n_envs), *running)

    def _step(self, t: int) -> Frame:
        episodes = self._episodes
        if episodes is None:
            raise CompositionError(f"{self.description()} was run at t={t} before t=0, which resets its environments.")
        if episodes.lost is not None:
            episodes.check()
        action = self._read_action(t - 1)
        episodes.n_steps += 1
        try:
            observation, reward, terminated, truncated, _ = self.vector_env.step(action)
        except (Exception, SystemExit) as error:
            self._fail(error, self.n_envs, "", episodes.seeds)
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
        bad = self._first_bad(observation, reward, None if self.auto_reset else episodes.done)
        if bad is not None:
            raise self._nonfinite(bad, episodes)
        episodes.done = terminated | truncated
        frame: Frame = {}
        for name, leaf in self._leaves.items():
            array = leaf(observation)
            if self._of_choices:
                self._check_choices(array, episodes)
            frame[name] = torch.from_numpy(array.copy() if self._copy else array)
        frame["terminated"] = torch.from_numpy(terminated)
        frame["truncated"] = torch.from_numpy(truncated)
        frame["done"] = torch.from_numpy(episodes.done)
        frame["reward"] = torch.from_numpy(reward.astype(np.float32))
        frame["cumulated_reward"] = torch.from_numpy(episodes.cumulated_reward.astype(np.float32))
        if self.returns_log is not None:
            self.returns_log.append(episodes.cumulated_reward)
        frame["timestep"] = torch.from_numpy(episodes.timestep)
        if self.output_device.type != "cpu":
            frame = {name: value.to(self.output_device, non_blocking=True) for name, value in frame.items()}
        episodes.frame = frame
        return frame

    # ---- failures -------------------------------------------------------------------------------------------------

    def _finite_check(self, observations: bool) -> Callable[..., NonFinite | None]:
        return FiniteCheck(self.observation_space, self.n_envs, "env_obs", observations=observations).first_bad

    def _nonfinite(self, bad: NonFinite, episodes: _Episodes) -> NonFiniteError:
        step = int(episodes.timestep[bad.environment])
        place = f" at {bad.component}" if bad.component else ""
        option, dtype = "", "float32"
        if bad.variable != "reward":
            space = space_leaves(self.observation_space, "env_obs")[bad.variable][0]
            dtype = "float16" if space.dtype == np.float16 else dtype
            option = (
                " Where such observations are meant, and an agent of yours handles them, let them pass: "
                "allow_nonfinite_observations=True (gym_env.allow_nonfinite_observations in a configuration)."
            )
        error = NonFiniteError(
            f"{self.output_prefix}{bad.variable} holds {bad.value}{place}, finite numbers that {dtype} can hold "
            "expected. A division by zero, or a simulation that became unstable, leads to this; the same seed and "
            f"actions lead there again.{option}"
        )
        when = _when(episodes, bad.environment, step, "reset")
        error.where = f"{self._place(bad.environment, self.n_envs)}, {when}"
        return error

    def _check_choices(self, array: np.ndarray, episodes: _Episodes) -> None:
        try:
            check_choices(array, self.observation_space)
        except EnvironmentContractError as error:
            index = error.index or 0
            error.seed = episodes.seeds[index]
            when = _when(episodes, index, int(episodes.timestep[index]), "reset")
            error.where = f"{self._place(index, self.n_envs)}, {when}"
            raise

    def _fail(self, error: BaseException, n_envs: int, when: str, seeds: list[int] | None = None) -> NoReturn:
        """Raise `error`, which came from the vector environment, with all that is known of where it happened."""
        failed = failure(error, 0 if n_envs == 1 else None)
        index, episodes = failed.index, self._episodes
        if seeds is not None:
            failed.seed = None if index is None else seeds[index]
            if episodes is not None:
                over = index is not None and self.auto_reset and bool(episodes.done[index])
                step = 0 if over else None if index is None else int(episodes.timestep[index]) + 1
                when = _when(episodes, index, step, "reset after its episode")
            else:
                when += f" with seed {seeds if index is None else failed.seed}"
        failed.where = f"{self._place(index, n_envs)}, {when}"
        raise failed from failed.__cause__

    def _place(self, index: int | None, n_envs: int) -> str:
        which = f"one of {n_envs} environments" if index is None else f"environment {index} of {n_envs} (from 0)"
        return f"{self.description()}: {which} {self._env_label}"

    # ---- seeds, sizes, the end ------------------------------------------------------------------------------------

    def seed(self, seed: int) -> Self:
        """Derive the seeds of all later resets from `seed`: each reset, and each environment in it, has its own.

        Raises:
            CompositionError: that is no whole number of at least 0.
        """
        self._seed: Any = checked_seed(seed)
        self._n_resets = 0
        return self

    def seed_episodes(self, seeds: Sequence[int]) -> Self:
        """Give the next reset (`t=0`) these seeds, one for each environment.

        Raises:
            CompositionError: they are not as many as the environments, one is no whole number, or several
                environments of a vector class have one seed for all of them.
        """
        seeds = self._one_for_each(seeds)
        if self.n_envs > 1 and not self._seeds_apart:
            raise CompositionError(
                f"the {self.n_envs} environments of {type(self.vector_env.unwrapped).__name__} are reset by one seed "
                "together, so that none has a seed of its own. For episodes with seeds, as in evaluation, make them "
                "with vectorization='sync', or one at a time (n_envs=1)."
            )
        self._next_seeds = seeds
        return self

    def renew(self, seeds: Sequence[int] | None = None) -> None:
        """Close the environments and make new ones, in which nothing is left of the former ones' past.

        Args:
            seeds: for the next reset, one for each environment; where one seed resets all of them, it is the first.

        Raises:
            CompositionError: the agent was given a vector environment, which it cannot make anew, or there are not as
                many seeds as environments.
        """
        if self._given_vector_env:
            raise CompositionError(f"{self.description()} was given a vector environment and cannot make another one.")
        seeds = None if seeds is None else self._one_for_each(seeds)
        self.close()
        self.vector_env = self._make_vector_env(self.n_envs)
        self._episodes, self._next_seeds = None, self._next_seeds if seeds is None else list(seeds)

    def _one_for_each(self, seeds: Sequence[int]) -> list[int]:
        seeds = checked_seeds(seeds)
        if len(seeds) != self.n_envs:
            raise CompositionError(f"{self.n_envs} environments need as many seeds, {len(seeds)} were given.")
        return seeds

    @property
    def episode_returns(self) -> np.ndarray:
        """The returns so far of the running episodes, or of those that are over, `[B]` float64.

        Unlike `env/cumulated_reward` these are exact to 16 digits: a sum of float32 stays at 16,777,216 forever when 1
        is added to it.

        Raises:
            CompositionError: the environments have not been reset yet.
        """
        if self._episodes is None:
            raise CompositionError(f"{self.description()} has not been run yet: it has no episodes.")
        return self._episodes.cumulated_reward.copy()

    @property
    def label(self) -> str:
        """What the environment is called in messages."""
        return self._env_label

    def facts(self) -> EnvironmentFacts:
        """Return what is known of the environments: their time limit, and wrappers with a memory."""
        if isinstance(self.vector_env, AsyncEnvs):
            return self.vector_env.call("facts")[0]  # type: ignore[no-any-return]
        given = self.vector_env.env if isinstance(self.vector_env, CheckedVector) else self.vector_env
        return facts_of(given.envs[0] if isinstance(given, SyncVectorEnv) else given)

    @property
    def observation_names(self) -> list[str]:
        """The names of the variables that hold the observation."""
        return [self.output_prefix + name for name in self._leaves]

    @property
    def observation_size(self) -> int:
        """The number of a network's inputs: the features of a vector, or, one-hot, an observation's choices.

        Raises:
            UnsupportedSpaceError: the observation is neither a vector of numbers nor choices.
        """
        return observation_size(self.observation_space)

    @property
    def observation_choices(self) -> list[list[int]] | None:
        """Least value and count of each choice that an observation consists of; None if it is of numbers."""
        return observation_choices(self.observation_space)

    @property
    def action_size(self) -> int:
        """The number of components of a continuous action, or of the choices of a discrete one.

        Raises:
            UnsupportedSpaceError: the action is neither a vector nor a single choice.
        """
        return action_size(self.action_space)

    @property
    def action_kind(self) -> str:
        """The kind of actions: "continuous" (a vector), "discrete" (one choice), or "multi-discrete" (several)."""
        return action_kind(self.action_space)

    def render(self) -> list[Any]:
        """Return what each environment draws: a picture, usually `[H, W, 3]` uint8, or a list of pictures.

        `record_video` makes a film of other kinds of pictures, too (see `workspace_rl.films.pictures.Pictures`).

        Raises:
            RenderingError: the environments were not made with `env_args={"render_mode": "rgb_array"}`, or drawing
                raised an exception.
        """
        if getattr(self.vector_env, "render_mode", None) not in ("rgb_array", "rgb_array_list"):
            raise RenderingError(
                f"the environments of {self.description()} give no pictures: make them with "
                'env_args={"render_mode": "rgb_array"}, if they support that.'
            )
        try:
            drawn = self.vector_env.render()
        except RenderingError:
            raise
        except (Exception, SystemExit) as error:
            said = f": {error}" if str(error) else ""
            raise RenderingError(
                f"the environments of {self.description()} cannot draw themselves: render raised "
                f"{type(error).__name__}{said}."
            ) from error
        return [None] * self.n_envs if drawn is None else list(drawn)

    def close(self) -> None:
        """Close the environments; what one of them raises meanwhile is warned of, and matters no further."""
        failures: list[EnvironmentFailedError] = getattr(self.vector_env, "close_failures", [])
        try:
            self.vector_env.close()
        except (Exception, SystemExit) as error:
            failures.append(failure(error, 0 if self.vector_env.num_envs == 1 else None))
        while failures:
            failed = failures.pop(0)
            place = self._place(failed.index, self.vector_env.num_envs)
            warnings.warn(f"{place}, while it was closed: {failed}", RuntimeWarning, stacklevel=2)


def _label(env: Any) -> str:
    """Return what an environment is called in messages."""
    env = getattr(env, "func", env)  # of functools.partial
    spec = getattr(env, "spec", None)
    name = env if isinstance(env, str) else getattr(spec, "id", None) or getattr(env, "__qualname__", None)
    return repr(name or type(env).__name__)


def _when(episodes: _Episodes, index: int | None, step: int | None, start: str) -> str:
    """Return the place in time of the failure of an environment at `step` of its episode, 0 being its `start`."""
    seed = episodes.seeds if index is None else episodes.seeds[index]
    episode = "" if step is None else f"at step {step} of its episode, " if step else f"at the {start}, "
    return f"{episode}step {episodes.n_steps} since it was reset with seed {seed}"
