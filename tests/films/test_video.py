import json
import re

import gymnasium as gym
import numpy as np
import pytest
import torch
from moviepy import VideoFileClip

from tests.toys import ConstantAgent, CountingEnv, SummingAgent
from workspace_rl import GymAgent, make_env, record_video
from workspace_rl.algos import SAC
from workspace_rl.errors import CompositionError, RenderingError, RunFolderError

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


def test_a_policy_with_memory_is_filmed_as_it_is_scored(tmp_path):
    env = CountingEnv(3, render_mode="rgb_array")
    env_agent = GymAgent(lambda: env, auto_reset=False)
    record_video(env_agent, SummingAgent(), tmp_path / "film.mp4", seeds=[1, 2])
    assert np.concatenate(env.actions).tolist() == pytest.approx([0.0, 0.01, 0.03] * 2)


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


class Drawing(CountingEnv):
    """Draws whatever it is told to, at each step k of an episode."""

    def __init__(self, draw, render_mode="rgb_array", fps=20, length=4):
        super().__init__(length, render_mode=render_mode)
        self.draw, self.metadata = draw, {"render_modes": ["rgb_array", "rgb_array_list"], "render_fps": fps}

    def render(self):
        return self.draw(self.k)


def film_of(draw, path, seeds=(1,), **options):
    env_agent = GymAgent(lambda: Drawing(draw, **options), auto_reset=False)
    return record_video(env_agent, ConstantAgent(), path, seeds=seeds)


@pytest.mark.parametrize(
    "draw",
    [
        lambda k: np.full((16, 16), 50 * k, np.float64),
        lambda k: (
            np.full((4, 15, 15), 50 * k / 255, np.float32)
            + np.array([0, 0, 0, 1]).reshape(4, 1, 1) * (1 - 50 * k / 255)
        ),
        lambda k: [np.full((16, 16, 1), 50 * k)],
    ],
    ids=["gray, 0 to 255", "channels first, 0 to 1", "lists of pictures"],
)
def test_pictures_of_all_kinds_are_filmed(draw, tmp_path):
    for options in ({}, {"render_mode": "rgb_array_list"}):
        size, _, levels = brightness(film_of(draw, tmp_path / "film.mp4", seeds=[1, 2], **options))
        assert size == [16, 16] and levels == pytest.approx([0, 50, 100, 150, 200] * 2, abs=4)


def test_films_of_one_pixel_and_of_black_pictures(tmp_path):
    for draw in (lambda k: np.zeros((1, 1, 3), np.uint8), lambda k: np.zeros((1, 1))):
        size, _, levels = brightness(film_of(draw, tmp_path / "film.mp4"))
        assert size == [2, 2] and levels == [0] * 5


@pytest.mark.parametrize("fps", [None, 0, -1, float("nan"), float("inf"), "fast", 1e9])
def test_speeds_at_which_no_film_can_run(fps, tmp_path):
    assert brightness(film_of(lambda k: np.zeros((8, 8, 3), np.uint8), tmp_path / "film.mp4", fps=fps))[1] == 30


def broken(k):
    raise OSError("no display")


@pytest.mark.parametrize(
    ("draw", "what"),
    [
        (broken, "agent 'GymAgent' cannot draw themselves: render raised OSError: no display"),
        (lambda k: None, "agent 'GymAgent', render at step 0 of seed 7: None found"),
        (lambda k: np.full((8, 8 + k), 3, np.uint8), r"render at step 1 of seed 7: .*\[8, 9\].*begun with .*\[8, 8\]"),
        (lambda k: [], "drew no pictures"),
    ],
)
def test_what_cannot_be_filmed_is_said_and_leaves_nothing(draw, what, tmp_path):
    with pytest.raises(RenderingError, match=what):
        film_of(draw, tmp_path / "film.mp4", seeds=[7])
    assert not list(tmp_path.iterdir())


def test_a_film_that_ffmpeg_does_not_write(tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    monkeypatch.setattr("moviepy.video.io.ffmpeg_writer.FFMPEG_BINARY", str(program))
    draw = lambda k: np.zeros((1000, 1000, 3), np.uint8)  # noqa: E731
    with pytest.raises(RenderingError, match="ffmpeg, which cannot be started: FileNotFoundError.*imageio-ffmpeg"):
        film_of(draw, tmp_path / "film" / "film.mp4")
    # At its first picture, and at its end.
    for script in ("echo no space left >&2; exit 1", "cat > /dev/null; echo no space left >&2; exit 1"):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        with pytest.raises(RenderingError, match="ffmpeg could not write the film .*no space left"):
            film_of(draw, tmp_path / "film" / "film.mp4")
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="cannot be written"):
        film_of(draw, tmp_path / "file" / "film.mp4")
    assert not list((tmp_path / "film").iterdir())


def test_only_one_environment_is_filmed(tmp_path):
    env_agent = GymAgent(lambda: CountingEnv(render_mode="rgb_array"), 2, auto_reset=False)
    with pytest.raises(CompositionError, match="one environment"):
        record_video(env_agent, ConstantAgent(), tmp_path / "film.mp4", seeds=[1])


@pytest.mark.parametrize(
    ("draw", "reason"),
    [
        (broken, "render raised OSError: no display"),
        (lambda k: None, "None found"),
        ("making", "cannot draw itself (no window)"),
    ],
)
def test_a_finished_run_does_not_end_in_an_exception_because_of_its_film(draw, reason, tiny_sac, tmp_path, capsys):
    def make(render_mode=None):
        if draw == "making" and render_mode:
            raise ValueError("no window")
        return Drawing(draw, render_mode, length=20)

    gym.register("Film-v0", make)
    try:
        tiny_sac |= {"record_best": True, "gym_env": {"env_name": "Film-v0"}}
        tiny_sac["algorithm"] |= {"total_steps": 120, "learning_starts": 110, "eval_interval": 60}
        sac = SAC(tiny_sac)
        result = sac.train()
        assert result.video is None and reason in result.no_video and result.final.mean == 210
        assert f"no video: {result.no_video}" in capsys.readouterr().out
        assert "final" in json.loads((tmp_path / "run/best/eval.json").read_text())
        for film in (sac.visualize_best, sac.run.record):
            with pytest.raises(RenderingError, match=re.escape(reason)):
                film()
    finally:
        del gym.registry["Film-v0"]
