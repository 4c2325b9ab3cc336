"""What follows the end of an episode: the next one (`auto_reset`), or rest.

Environments themselves begin anew in the step after an end (gymnasium's `NEXT_STEP`, see
`workspace_rl.envs.vector.sync_envs`), or play one episode (`workspace_rl.envs.vector.one_episode`).
"""

from __future__ import annotations

import numpy as np
import torch

from workspace_rl.envs.gym_agent.episodes import Episodes, Frame


def go_on(episodes: Episodes, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray) -> None:
    """Count a step; where an episode was over, it was the next one's reset, which counts as 0."""
    running = ~episodes.done
    episodes.cumulated_reward = (episodes.cumulated_reward + reward) * running
    episodes.timestep = (episodes.timestep + 1) * running
    episodes.done = terminated | truncated


def go_on_or_rest(episodes: Episodes, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray) -> np.ndarray:
    """Count a step of those whose episode is not over, and return the rewards, 0 where it is."""
    finished = episodes.done
    episodes.cumulated_reward = np.where(finished, episodes.cumulated_reward, episodes.cumulated_reward + reward)
    episodes.timestep = np.where(finished, episodes.timestep, episodes.timestep + 1)
    episodes.done = terminated | truncated
    return np.where(finished, 0.0, reward)


def repeat_last(frame: Frame, last: Frame, finished: np.ndarray, episodes: Episodes) -> None:
    """Where an episode was over before, put its last frame in the new one's place, except for the reward."""
    if finished.any():
        repeat = torch.from_numpy(finished).to(frame["done"].device)
        for name, value in frame.items():
            if name != "reward":
                mask = repeat.view(-1, *[1] * (value.ndim - 1))
                frame[name] = torch.where(mask, last[name], value)
        episodes.done = episodes.done | finished
