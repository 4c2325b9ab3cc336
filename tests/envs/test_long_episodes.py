"""Episodes that never end are told of, and counted as they stand."""

import gymnasium as gym
import pytest

from tests.toys import ConstantAgent, Endless
from workspace_rl import GymAgent, evaluate
from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.config.make_env_agent import make_env_agent
from workspace_rl.envs import long_episodes
from workspace_rl.films.video import record_video

gym.register("Lasting-v0", Endless)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(long_episodes, "LONG_EPISODE", 100)
    monkeypatch.setattr(long_episodes.LongEpisodes.__init__, "__defaults__", (200,))


def test_an_endless_episode_is_told_of_and_counts_as_it_stands(short):
    env_agent = GymAgent(Endless, 2, auto_reset=False)
    with pytest.warns(UserWarning, match=r"'Endless' is not over after 1\d\d steps, .*max_episode_steps"):
        score = evaluate(env_agent, ConstantAgent(), [1, 2, 3])
    assert len(score.returns) == 3 and score.lengths == [int(one) for one in score.returns]
    assert all(200 <= one < 300 for one in score.lengths)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_who_has_a_limit_is_left_alone(vectorization, short):
    config = EnvironmentConfig(env_name=f"{__name__}:Lasting-v0", max_episode_steps=300, vectorization=vectorization)
    env_agent = make_env_agent(config, 2, auto_reset=False)
    assert env_agent.facts().time_limit == 300
    assert evaluate(env_agent, ConstantAgent(), [1, 2]).lengths == [300, 300]
    env_agent.close()


@pytest.mark.parametrize("vectorization", ["sync", "vector_entry_point"])
def test_the_limit_of_atari_games_is_known(vectorization):
    pytest.importorskip("ale_py")
    config = EnvironmentConfig(env_name="PongNoFrameskip-v4", atari={}, vectorization=vectorization)
    assert make_env_agent(config, 1, auto_reset=False).facts().time_limit == 27_000


def test_a_film_of_an_endless_episode_ends(monkeypatch, tmp_path):
    monkeypatch.setattr("workspace_rl.films.video.LONG_EPISODE", 40)
    monkeypatch.setattr(long_episodes, "LONG_EPISODE", 40)
    env_agent = GymAgent(lambda: Endless("rgb_array"), auto_reset=False)
    with pytest.warns(UserWarning, match="not over after 40 steps"):
        assert record_video(env_agent, ConstantAgent(), tmp_path / "film.mp4", [1]).is_file()
