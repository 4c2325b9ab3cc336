"""Environments by their names."""

import subprocess
import sys

import gymnasium as gym
import pytest

from workspace_rl import GymAgent, make_env
from workspace_rl.errors import UnknownEnvironmentError


def test_unknown_environments_get_the_nearest_name():
    with pytest.raises(UnknownEnvironmentError, match="'CartPol-v1'.*Did you mean 'CartPole-v1'"):
        GymAgent("CartPol-v1")
    with pytest.raises(UnknownEnvironmentError):
        make_env("CartPole-v77")
    with pytest.raises(UnknownEnvironmentError, match="module 'nowhere'.*cannot be imported"):
        make_env("nowhere:Thing-v0")


def test_missing_simulators_name_the_extra():
    program = (
        "import sys; sys.modules['mujoco'] = None; sys.modules['ale_py'] = None; sys.modules['Box2D'] = None\n"
        "import workspace_rl, workspace_rl.errors\n"
        "for name in ('HalfCheetah-v5', 'PongNoFrameskip-v4', 'LunarLander-v3'):\n"
        "    try: workspace_rl.envs.make_env(name)\n"
        "    except workspace_rl.errors.MissingDependencyError as error: print(error)\n"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    for extra in ("mujoco", "atari", "box2d"):
        assert "pip install --editable" in output and f'[{extra}]"' in output


def test_wrappers_are_applied_in_order():
    env = make_env(
        "CartPole-v1", [gym.wrappers.FlattenObservation, gym.wrappers.RecordEpisodeStatistics], render_mode="rgb_array"
    )
    assert isinstance(env, gym.wrappers.RecordEpisodeStatistics) and isinstance(
        env.env, gym.wrappers.FlattenObservation
    )
    env.reset(seed=0)
    assert env.render().shape == (400, 600, 3)
