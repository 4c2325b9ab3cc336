"""Scoring a policy: whole episodes, without disturbing anything else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workspace_rl.agent import Agent
from workspace_rl.basics.arguments import checked
from workspace_rl.basics.seeding import RandomState, checked_seeds
from workspace_rl.composition import Agents, TemporalAgent
from workspace_rl.envs.facts import warn_of_statistics
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.envs.long_episodes import LongEpisodes
from workspace_rl.errors import CompositionError
from workspace_rl.learning.modes import acting
from workspace_rl.policies.spaces import require_fitting
from workspace_rl.workspace import Workspace

#: Steps kept in memory at a time: an episode of images may be long.
CHUNK = 64


@dataclass(frozen=True)
class Evaluation:
    """The scores of a policy's episodes."""

    returns: list[float]
    lengths: list[int]
    seeds: list[int]

    @property
    def mean(self) -> float:
        """The mean return."""
        with np.errstate(invalid="ignore"):  # of infinite returns
            return float(np.mean(self.returns))

    @property
    def std(self) -> float:
        """The standard deviation of the episodes' returns."""
        with np.errstate(invalid="ignore", over="ignore"):
            return float(np.std(self.returns))

    def better_than(self, other: Evaluation | None) -> bool:
        """Return whether the mean return is greater than that of `other`, if there is one; NaN is never better."""
        return not math.isnan(self.mean) and (other is None or not self.mean <= other.mean)

    def as_dict(self) -> dict[str, Any]:
        """Return mean, standard deviation, number of episodes, and each episode's return, length and seed."""
        return {
            "mean": self.mean,
            "std": self.std,
            "episodes": len(self.returns),
            "returns": self.returns,
            "lengths": self.lengths,
            "seeds": self.seeds,
        }

    def __str__(self) -> str:
        """Return "mean ± std over n episodes"."""
        return f"{self.mean:.2f} ± {self.std:.2f} over {len(self.returns)} episodes"


@checked(error=CompositionError)
def evaluate(env_agent: GymAgent, policy: Agent, seeds: Sequence[int], **kwargs: Any) -> Evaluation:
    """Play exactly one whole episode for each seed and return their scores (undiscounted sums of rewards).

    The policy acts in evaluation mode, and its parameters, buffers and modes are left as they were. Its random numbers,
    if it uses any, come from the first seed, and the caller's are left as they were, too.
    Where an environment has no time limit that is known, a warning tells of an episode that is not over after 10,000
    steps, and after 100,000 it counts as it stands. Another one tells of wrappers whose statistics begin anew here.

    Args:
        env_agent: environments without auto-reset; as many episodes as it has environments are played together.
        policy: chooses the actions.
        seeds: the seeds of the episodes, whole numbers: a list, a range, an array or a tensor. -1 is 2**31 - 1.
        **kwargs: given to the policy.

    Raises:
        CompositionError: the environments reset themselves, or are not those that the policy is known to be for, there
            are no seeds or one is no seed, or several environments of a vector class have one seed for all of them.
        Stopped: ctrl-C or SIGTERM has asked for the end, where a `StopRequest` listens.
    """
    if env_agent.auto_reset:
        raise CompositionError(
            f"{env_agent.description()} resets its environments by itself; to score whole episodes, build it with "
            "auto_reset=False."
        )
    seeds = checked_seeds(seeds)
    require_fitting(policy, env_agent)
    agent = TemporalAgent(Agents(env_agent, policy))
    n_envs = env_agent.n_envs
    returns: list[float] = []
    lengths: list[int] = []
    long_episodes: LongEpisodes | None = None
    with RandomState(seeds[0]):
        for start in range(0, len(seeds), n_envs):
            chunk = seeds[start : start + n_envs]
            # Environments that are too many play the last seed once more; their scores are not counted.
            env_agent.seed_episodes(chunk + chunk[-1:] * (n_envs - len(chunk)))
            workspace = Workspace()
            t = 0
            with acting(policy):  # anew for each round: scores do not depend on how many are played together
                while True:
                    agent(workspace, t=t, n_steps=CHUNK, stop_variable="env/done", **kwargs)
                    workspace, t = workspace.subtime(workspace.time_size("env/done") - 1), 1
                    if long_episodes is None:
                        facts = env_agent.facts()
                        long_episodes = LongEpisodes(facts, env_agent.label)
                        warn_of_statistics(facts, env_agent.label)
                    if bool(workspace.get("env/done", 0).all()):
                        break
                    if long_episodes.is_too_long(int(workspace.get("env/timestep", 0).max())):
                        break
            returns += env_agent.episode_returns[: len(chunk)].tolist()
            lengths += workspace.get("env/timestep", 0)[: len(chunk)].tolist()
    return Evaluation(returns, lengths, seeds)
