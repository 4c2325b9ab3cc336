"""Films of policies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workspace_rl.agent import Agent
from workspace_rl.composition import Agents
from workspace_rl.env_facts import LONG_EPISODE, LongEpisodes
from workspace_rl.errors import CompositionError, RenderingError
from workspace_rl.files import whole_file
from workspace_rl.gym_agent import GymAgent
from workspace_rl.seeding import RandomState, checked_seeds
from workspace_rl.workspace import Workspace


def record_video(env_agent: GymAgent, policy: Agent, path: str | Path, seeds: Sequence[int], **kwargs: Any) -> Path:
    """Film `policy` for whole episodes, one after the other, into an mp4 file.

    Each episode contributes its first picture and one for each step; at most 10,000 where no time limit is known.

    Args:
        env_agent: one environment with `render_mode="rgb_array"`, without auto-reset.
        policy: chooses the actions.
        path: the file, which must end in .mp4.
        seeds: the seed of each episode.
        **kwargs: given to the policy.

    Returns:
        The file's path.

    Raises:
        RenderingError: the environment gives no pictures, or the file does not end in .mp4.
        CompositionError: the environment resets itself, or there are no seeds.
        RunFolderError: the file cannot be written.
    """
    # Imported here: moviepy takes longer than the rest of the library together.
    from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

    agents = Agents(env_agent, policy)
    frames_per_second = float(env_agent.vector_env.metadata.get("render_fps") or 30)
    path = Path(path)
    if path.suffix != ".mp4":
        raise RenderingError(f"a film is an mp4 file, but {str(path)!r} was asked for; give a name that ends in .mp4.")
    if env_agent.auto_reset:
        raise CompositionError("filming whole episodes needs auto_reset=False.")
    seeds = checked_seeds(seeds)
    with whole_file(path) as temporary, RandomState(seeds[0]), torch.no_grad():
        writer = None
        try:
            for seed in seeds:
                env_agent.seed_episodes([seed])
                workspace, t, done = Workspace(), 0, False
                long_episodes = LongEpisodes(env_agent.facts(), env_agent.label, LONG_EPISODE)
                while not done:
                    agents(workspace, t=t, **kwargs)
                    picture = _even(env_agent.render()[0])
                    if writer is None:
                        size = (picture.shape[1], picture.shape[0])
                        writer = FFMPEG_VideoWriter(str(temporary), size, frames_per_second, pixel_format="rgb24")
                    writer.write_frame(picture)
                    done = bool(workspace.get("env/done", t).all()) or long_episodes.is_too_long(
                        int(workspace.get("env/timestep", t).max())
                    )
                    workspace, t = workspace.subtime(t), 1
        finally:
            if writer is not None:
                writer.close()
    return path


def _even(picture: np.ndarray) -> np.ndarray:
    """Repeat the last row or column of a picture with an odd size, which the video format cannot hold."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
