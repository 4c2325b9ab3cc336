"""Playing whole episodes with a run's policies: for scores on fresh episodes, and for films."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from workspace_rl.agent import Agent
from workspace_rl.basics.seeding import FINAL_EPISODES, VIDEO_EPISODES, episode_seeds
from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.config.make_env_agent import make_env_agent
from workspace_rl.evaluation.evaluation import Evaluation, evaluate
from workspace_rl.films.video import record_video
from workspace_rl.machine.files import back_home, working_directory
from workspace_rl.machine.threads import torch_threads


class Player(Protocol):
    """Plays with policies, in this process or in another one."""

    def evaluate(self, policy: Agent, n_episodes: int) -> Evaluation:
        """Score a policy on `n_episodes` episodes, on seeds that selected nothing."""

    def record(self, policy: Agent, n_episodes: int, path: Path) -> Path:
        """Film a policy for `n_episodes` episodes, and return the path of the mp4 file."""


@dataclass(frozen=True)
class Playing:
    """Plays in this process."""

    env_config: EnvironmentConfig
    #: The run's, from which those of episodes are derived.
    seed: int
    #: Threads of torch.
    threads: int

    def evaluate(self, policy: Agent, n_episodes: int) -> Evaluation:
        """Score a policy on fresh episodes."""
        seeds = episode_seeds(self.seed, FINAL_EPISODES, n=n_episodes)
        # As few rounds as 16 environments need, and as few environments as that many rounds need.
        n_envs = math.ceil(n_episodes / math.ceil(n_episodes / 16))
        if self.env_config.single_instance:
            n_envs = 1
        home = working_directory()
        env_agent = make_env_agent(self.env_config, n_envs, auto_reset=False)
        try:
            with back_home(home), torch_threads(self.threads):
                return evaluate(env_agent, policy, seeds)
        finally:
            env_agent.close()

    def record(self, policy: Agent, n_episodes: int, path: Path) -> Path:
        """Film a policy."""
        home = working_directory()
        env_agent = make_env_agent(self.env_config, 1, auto_reset=False, render=True)
        try:
            with back_home(home):
                return record_video(env_agent, policy, path, episode_seeds(self.seed, VIDEO_EPISODES, n=n_episodes))
        finally:
            env_agent.close()
