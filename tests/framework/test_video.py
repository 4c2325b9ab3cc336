import numpy as np
import pytest
import torch
from moviepy import VideoFileClip

from tests.toys import ConstantAgent, CountingEnv
from workspace_rl import GymAgent, record_video
from workspace_rl.errors import RenderingError

# moviepy's reader leaves its pipes to the garbage collector if ffmpeg has ended before it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def brightness(path):
    with VideoFileClip(str(path)) as clip:
        frames = list(clip.iter_frames())
        return clip.size, clip.fps, [float(np.mean(frame)) for frame in frames]


def test_every_frame_of_every_episode_is_filmed(tmp_path):
    env_agent = GymAgent(lambda: CountingEnv(5, render_mode="rgb_array"), auto_reset=False)
    before = torch.get_rng_state()
    path = record_video(env_agent, ConstantAgent(), tmp_path / "film.mp4", seeds=[1, 2])
    assert torch.equal(before, torch.get_rng_state())
    size, fps, levels = brightness(path)
    assert size == [34, 32] and fps == 20  # odd sizes are made even
    assert len(levels) == 12  # the initial picture and one a step, twice
    assert levels == pytest.approx([20 * k for k in (0, 1, 2, 3, 4, 5)] * 2, abs=6)
    assert [one.name for one in tmp_path.iterdir()] == ["film.mp4"]


def test_environments_without_pictures_are_named(tmp_path):
    with pytest.raises(RenderingError, match="agent 'GymAgent' give no pictures.*render_mode"):
        record_video(GymAgent("Pendulum-v1", auto_reset=False), ConstantAgent(), tmp_path / "film.mp4", seeds=[1])
    assert not list(tmp_path.iterdir())
