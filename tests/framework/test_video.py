import numpy as np
import pytest
import torch
from moviepy import VideoFileClip

from tests.toys import ConstantAgent, CountingEnv
from workspace_rl import GymAgent, make_env, record_video
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


def test_the_camera_follows_a_robot_that_runs_away():
    pytest.importorskip("mujoco")
    for given, in_sight in (({}, True), ({"camera_id": -1}, False)):  # what is asked for is left alone
        env = make_env("Ant-v5", render_mode="rgb_array", width=64, height=64, **given)
        env.reset(seed=0)
        env.render()  # which places a camera that stays where it is
        ant = env.unwrapped
        ant.set_state(ant.init_qpos + np.eye(len(ant.init_qpos))[0] * 15, ant.init_qvel)  # 15 metres away
        red, _, blue = np.moveaxis(env.render().astype(int), -1, 0)
        assert ((red - blue > 50).sum() > 20) == in_sight
        env.close()
