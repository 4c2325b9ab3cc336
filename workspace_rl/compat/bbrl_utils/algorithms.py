"""`bbrl_utils.algorithms`."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workspace_rl.compat.bbrl.agents import Agent, Agents, TemporalAgent
from workspace_rl.compat.bbrl.agents.gymnasium import ParallelGymAgent, make_env, record_video
from workspace_rl.compat.bbrl.utils.logger import TFLogger
from workspace_rl.compat.bbrl.utils.replay_buffer import ReplayBuffer
from workspace_rl.compat.bbrl.workspace import Workspace
from workspace_rl.compat.bbrl_utils.logger import Logger
from workspace_rl.compat.bbrl_utils.notebook import outputs_dir, tqdm, video_display

LOGGER = {"classname": f"{TFLogger.__module__}.TFLogger", "every_n_seconds": 10}


class RLBase:
    """A run: its environments, logger and evaluations, and its best policy.

    Subclasses set `train_policy` and, if it differs, `eval_policy`.
    """

    train_env: ParallelGymAgent
    train_policy: Agent | None = None
    eval_policy: Agent | None = None

    def __init__(self, cfg: Any, env_wrappers: Sequence[Any] = ()) -> None:
        """Seed torch, and make the logger and the evaluation's environments."""
        self.cfg = cfg
        env_args = cfg.gym_env.get("env_args") or {}
        self.make_env = partial(make_env, cfg.gym_env.env_name, wrappers=env_wrappers, **env_args)
        torch.manual_seed(cfg.algorithm.seed)
        self.base_dir = outputs_dir() / Path(cfg.base_dir)
        self.base_dir.mkdir(parents=True, exist_ok=True)
        # Beside the configuration, which may serve for several runs.
        self.logger = Logger({"log_dir": str(outputs_dir() / "tblogs" / cfg.base_dir), **(cfg.get("logger") or LOGGER)})
        self.eval_env = self._make_envs(cfg.algorithm.nb_evals)
        self.nb_steps = self.last_eval_step = 0
        self.best_policy: Agent | None = None
        self.best_reward: Any = -torch.inf
        self.running_reward: Any = -torch.inf
        self.running_reward_alpha = 0.99
        self.eval_rewards: list[Tensor] = []

    def _make_envs(self, n_envs: int, autoreset: bool = False) -> ParallelGymAgent:
        return ParallelGymAgent(partial(self.make_env, autoreset=autoreset), n_envs, seed=self.cfg.algorithm.seed)

    @cached_property
    def train_agent(self) -> TemporalAgent:
        """The training environments with the training policy."""
        return TemporalAgent(Agents(self.train_env, self._policy("train_policy")))  # type: ignore[no-any-return]

    @cached_property
    def eval_agent(self) -> TemporalAgent:
        """The evaluation environments with the evaluation policy."""
        policy = self._policy("eval_policy", "train_policy")
        return TemporalAgent(Agents(self.eval_env, policy))  # type: ignore[no-any-return]

    def _policy(self, *names: str) -> Any:
        for policy in (getattr(self, name) for name in names):
            if policy is not None:
                return policy
        raise AssertionError(f"{type(self).__name__}: set {' or '.join(names)} before it is used.")

    def evaluate(self, force: bool = False) -> bool | None:
        """Score the policy if `eval_interval` steps have passed; return whether it is the best so far."""
        if not force and self.nb_steps - self.last_eval_step <= self.cfg.algorithm.eval_interval:
            return None
        self.last_eval_step = self.nb_steps
        workspace = Workspace()
        with torch.no_grad():
            self.eval_agent(workspace, t=0, stop_variable="env/done")
        return self.register_evaluation(workspace.get("env/cumulated_reward", -1))

    def register_evaluation(self, rewards: Tensor, policy: Agent | None = None) -> bool:
        """Take returns `[B]` for an evaluation of `policy`; return whether it is the best so far."""
        self.logger.log_reward_losses(rewards, self.nb_steps)
        if self.cfg.get("collect_stats"):
            self.eval_rewards.append(rewards)
        mean, alpha = rewards.mean(), self.running_reward_alpha
        first = self.running_reward == -torch.inf
        self.running_reward = mean if first else (1 - alpha) * mean + alpha * self.running_reward
        if not mean > self.best_reward:  # NaN is never the best
            return False
        self.best_policy = copy.deepcopy(policy or self._policy("eval_policy", "train_policy"))
        self.best_reward = mean
        return True

    def save_stats(self) -> None:
        """Write the returns of all evaluations to `stats.npy`, as text, an episode in each row."""
        if self.cfg.get("collect_stats") and self.eval_rewards:
            np.savetxt(self.base_dir / "stats.npy", torch.stack(self.eval_rewards, dim=-1).numpy())

    def visualize_best(self) -> Any:
        """Film the best policy and return the film for a notebook to show."""
        if self.best_policy is None:
            raise AssertionError("there is no best policy yet: none has been evaluated (evaluate(force=True)).")
        path = self.base_dir / "best_agent"
        print(f"Video of best agent recorded in folder {path}")
        with closing(self.make_env(render_mode="rgb_array")) as env:
            return video_display(record_video(env, self.best_policy, path))

    def _play_on(self, workspace: Workspace, n_frames: int, **kwargs: Any) -> None:
        """Fill `workspace` with `n_frames` frames, of which the first is the last one that it holds."""
        t = int(len(workspace) > 0)
        workspace.copy_n_last_steps(t)
        self.train_agent(workspace, t=t, n_steps=n_frames - t, **kwargs)

    def _epochs(self) -> Iterator[int]:
        """Count the epochs, with a progress bar that shows the returns."""
        with tqdm(range(self.cfg.algorithm.max_epochs)) as bar:
            for self.epoch in bar:
                yield self.epoch
                rewards = f"best={self.best_reward: .2f}, running={self.running_reward: .2f}"
                bar.set_description(f"nb_steps: {self.nb_steps}, reward: {rewards}", refresh=False)


class EpochBasedAlgo(RLBase):
    """A run that learns from a replay buffer."""

    def __init__(self, cfg: Any, env_wrappers: Sequence[Any] = ()) -> None:
        """Make the training environments and the buffer."""
        super().__init__(cfg, env_wrappers)
        self.train_env = self._make_envs(cfg.algorithm.n_envs, autoreset=True)
        self.replay_buffer = ReplayBuffer(cfg.algorithm.buffer_size)

    def iter_replay_buffers(self) -> Iterator[ReplayBuffer]:
        """Collect `n_steps` steps again and again; yield the buffer once it has more than `learning_starts`."""
        algorithm, workspace = self.cfg.algorithm, Workspace()
        for _ in self._epochs():
            with torch.no_grad():  # the buffer keeps no graph
                self._play_on(workspace, algorithm.n_steps + 1, stochastic=True)
            transitions = workspace.get_transitions()
            self.nb_steps += transitions.batch_size()
            self.replay_buffer.put(transitions)
            if self.replay_buffer.size() > algorithm.learning_starts:
                yield self.replay_buffer


class EpisodicAlgo(RLBase):
    """A run that learns from episodes."""

    def __init__(self, cfg: Any, autoreset: bool = False, env_wrappers: Sequence[Any] = ()) -> None:
        """Make the training environments."""
        super().__init__(cfg, env_wrappers)
        self.train_env = self._make_envs(cfg.algorithm.n_envs, autoreset)

    def iter_episodes(self) -> Iterator[Workspace]:
        """Play whole episodes again and again; environments that are done repeat their last frame."""
        for _ in self._epochs():
            workspace = Workspace()
            self.train_agent(workspace, t=0, stop_variable="env/done")
            self.nb_steps += int((~workspace["env/done"]).sum())
            yield workspace

    def iter_partial_episodes(self, episode_steps: int | None = None) -> Iterator[Workspace]:
        """Play on for `episode_steps` steps (`n_steps` unless given) again and again, in the same workspace."""
        n_steps, workspace = episode_steps or self.cfg.algorithm.n_steps, Workspace()
        for _ in self._epochs():
            workspace.zero_grad()
            self._play_on(workspace, n_steps)
            self.nb_steps += int((~workspace["env/done"]).sum())
            yield workspace


iter_episodes = EpisodicAlgo.iter_episodes
iter_replay_buffers = EpochBasedAlgo.iter_replay_buffers
iter_partial_episodes = EpisodicAlgo.iter_partial_episodes
