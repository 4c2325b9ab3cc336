"""Scoring a policy: whole episodes, without disturbing anything else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workspace_rl.agent import Agent
from workspace_rl.composition import Agents, TemporalAgent
from workspace_rl.errors import CompositionError
from workspace_rl.gym_agent import GymAgent
from workspace_rl.modes import acting
from workspace_rl.seeding import RandomState
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


def evaluate(env_agent: GymAgent, policy: Agent, seeds: Sequence[int], **kwargs: Any) -> Evaluation:
    """Play exactly one whole episode for each seed and return their scores (undiscounted sums of rewards).

    The policy acts in evaluation mode, and its parameters, buffers and modes are left as they were. Its random numbers,
    if it uses any, come from the first seed, and the caller's are left as they were, too.

    Args:
        env_agent: environments without auto-reset; as many episodes as it has environments are played together.
        policy: chooses the actions.
        seeds: the seeds of the episodes.
        **kwargs: given to the policy.

    Raises:
        CompositionError: the environments reset themselves, or there are no seeds.
    """
    if env_agent.auto_reset:
        raise CompositionError(
            f"{env_agent.description()} resets its environments by itself; to score whole episodes, build it with "
            "auto_reset=False."
        )
    if not seeds:
        raise CompositionError("seeds: at least one expected, one for each episode.")
    agent = TemporalAgent(Agents(env_agent, policy))
    n_envs = env_agent.n_envs
    returns: list[float] = []
    lengths: list[int] = []
    with RandomState(seeds[0]):
        for start in range(0, len(seeds), n_envs):
            chunk = list(seeds[start : start + n_envs])
            # Environments that are too many play the last seed once more; their scores are not counted.
            env_agent.seed_episodes(chunk + chunk[-1:] * (n_envs - len(chunk)))
            workspace = Workspace()
            t = 0
            with acting(policy):  # anew for each round: scores do not depend on how many are played together
                while True:
                    agent(workspace, t=t, n_steps=CHUNK, stop_variable="env/done", **kwargs)
                    workspace, t = workspace.subtime(workspace.time_size("env/done") - 1), 1
                    if bool(workspace.get("env/done", 0).all()):
                        break
            returns += env_agent.episode_returns[: len(chunk)].tolist()
            lengths += workspace.get("env/timestep", 0)[: len(chunk)].tolist()
    return Evaluation(returns, lengths, list(seeds))
