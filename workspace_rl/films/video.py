"""Films of policies."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workspace_rl.agent import Agent
from workspace_rl.basics.arguments import checked
from workspace_rl.basics.seeding import RandomState, checked_seeds
from workspace_rl.composition import Agents
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.envs.long_episodes import LONG_EPISODE, LongEpisodes
from workspace_rl.errors import CompositionError, RenderingError
from workspace_rl.films.pictures import Pictures
from workspace_rl.learning.modes import acting
from workspace_rl.machine.files import absolute, whole_file
from workspace_rl.policies.spaces import require_fitting
from workspace_rl.workspace import Workspace


@checked(error=CompositionError)
def record_video(env_agent: GymAgent, policy: Agent, path: str | Path, seeds: Sequence[int], **kwargs: Any) -> Path:
    """Film `policy` for whole episodes, one after the other, into an mp4 file.

    Each episode contributes its first picture and one for each step; at most 10,000 where no time limit is known. The
    policy acts in evaluation mode, and its parameters, buffers and modes are left as they were. Pictures may be of
    other kinds than `[H, W, 3]` uint8: see `workspace_rl.films.pictures.Pictures`.

    Args:
        env_agent: one environment with `render_mode="rgb_array"`, without auto-reset.
        policy: chooses the actions.
        path: the file, which must end in .mp4.
        seeds: the seed of each episode.
        **kwargs: given to the policy.

    Returns:
        The file's path.

    Raises:
        RenderingError: the environment draws nothing that a film can be made of (the message says what), ffmpeg cannot
            write it, or the file does not end in .mp4.
        CompositionError: the environment resets itself, there are several, or it is not one that the policy is for.
        RunFolderError: the file cannot be written.
    """
    agents = Agents(env_agent, policy)
    path = absolute(path)
    if path.suffix != ".mp4":
        raise RenderingError(f"a film is an mp4 file, but {str(path)!r} was asked for; give a name that ends in .mp4.")
    if env_agent.auto_reset or env_agent.n_envs != 1:
        raise CompositionError("filming whole episodes needs one environment, with auto_reset=False.")
    seeds = checked_seeds(seeds)
    require_fitting(policy, env_agent)
    metadata = getattr(env_agent.vector_env, "metadata", None)
    with whole_file(path) as temporary, RandomState(seeds[0]), _Film(temporary, _frames_per_second(metadata)) as film:
        for seed in seeds:
            env_agent.seed_episodes([seed])
            workspace, t, done = Workspace(), 0, False
            long_episodes = LongEpisodes(env_agent.facts(), env_agent.label, LONG_EPISODE)
            with acting(policy):  # each episode begins with the policy as it is
                while not done:
                    agents(workspace, t=t, **kwargs)
                    step = int(workspace.get("env/timestep", t).max())
                    film.add(env_agent.render()[0], f"{env_agent.description()}, render at step {step} of seed {seed}")
                    done = bool(workspace.get("env/done", t).all()) or long_episodes.is_too_long(step)
                    workspace, t = workspace.subtime(t), 1
    return path


class _Film:
    """A film that is being written by ffmpeg."""

    def __init__(self, path: Path, frames_per_second: float) -> None:
        self._path, self._frames_per_second = path, frames_per_second
        self._pictures = Pictures()
        self._writer: Any = None

    def __enter__(self) -> _Film:
        self._path.touch()  # what cannot be written is told before anything is played
        return self

    def add(self, drawn: Any, where: str) -> None:
        """Add what an environment has drawn."""
        for picture in self._pictures.add(drawn, where):
            self._write(picture)

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        """Finish the film, or give it up after an exception."""
        try:
            if kind is None:
                for picture in self._pictures.rest():
                    self._write(picture)
                if self._writer is None:
                    raise RenderingError("the environment drew no pictures: its lists of pictures were all empty.")
        finally:
            process = None if self._writer is None else self._writer.proc
            if process is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
                said = process.stderr.read().decode(errors="replace")
                process.stderr.close()
                process.wait()
        if kind is None and process is not None and process.returncode:
            raise self._failed(said)

    def _write(self, picture: np.ndarray) -> None:
        picture = _even(picture)
        if self._writer is None:
            self._writer = self._start((picture.shape[1], picture.shape[0]))
        try:
            self._writer.proc.stdin.write(picture.tobytes())
        except OSError as error:  # ffmpeg has ended
            raise self._failed(self._writer.proc.stderr.read().decode(errors="replace")) from error

    def _start(self, size: tuple[int, int]) -> Any:
        try:
            # Imported here: moviepy takes longer than the rest of the library together.
            from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

            return FFMPEG_VideoWriter(str(self._path), size, self._frames_per_second, pixel_format="rgb24")
        except Exception as error:  # whatever moviepy raises where there is no ffmpeg
            raise RenderingError(
                f"films are written by ffmpeg, which cannot be started: {type(error).__name__}: {error}. The package "
                "imageio-ffmpeg has one, or name yours in the environment variable FFMPEG_BINARY."
            ) from error

    def _failed(self, said: str) -> RenderingError:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        return RenderingError(f"ffmpeg could not write the film {self._path.parent}: {' '.join(lines)[:500]}")


def _frames_per_second(metadata: Any) -> float:
    """Return what the environment says, if that is a speed at which a film can run, else 30."""
    try:
        number = float(metadata["render_fps"])
    except (KeyError, TypeError, ValueError):
        return 30.0
    return number if math.isfinite(number) and 0.1 <= number <= 1000 else 30.0


def _even(picture: np.ndarray) -> np.ndarray:
    """Repeat the last row or column of a picture with an odd size, which the video format cannot hold."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
