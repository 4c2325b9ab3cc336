"""Every environment that is said to work does, and says nothing about itself."""

import importlib.util

import gymnasium as gym
import numpy as np
import pytest

from workspace_rl import Agents, GymAgent, TemporalAgent, Workspace, make_env
from workspace_rl.agents import RandomAgent
from workspace_rl.cli import main
from workspace_rl.envs.catalogue import ENVIRONMENTS, describe_space

MODULES = {
    "": "gymnasium",
    "box2d": "Box2D",
    "mujoco": "mujoco",
    "pybullet": "pybullet_envs_gymnasium",
    "atari": "ale_py",
}


@pytest.mark.filterwarnings("ignore:.*is out of date:UserWarning", "ignore:.*is out of date:DeprecationWarning")
@pytest.mark.parametrize(("extra", "name"), [(extra, name) for extra, names in ENVIRONMENTS.items() for name in names])
def test_it_runs_and_is_quiet(extra, name, capfd, tmp_path, monkeypatch):
    if importlib.util.find_spec(MODULES[extra]) is None:
        pytest.skip(f"needs the extra {extra}")
    monkeypatch.chdir(tmp_path)
    agent = GymAgent(name, 2)
    workspace = Workspace()
    TemporalAgent(Agents(agent, RandomAgent(agent.action_space)))(workspace, t=0, n_steps=4)
    assert workspace["env/reward"].shape == (4, 2)
    agent.close()
    output = capfd.readouterr()
    assert output.out == "" and output.err == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("extra", "name"), [("mujoco", "HalfCheetah-v5"), ("pybullet", "HopperBulletEnv-v0"), ("box2d", "LunarLander-v3")]
)
def test_it_draws_without_a_screen(extra, name):
    if importlib.util.find_spec(MODULES[extra]) is None:
        pytest.skip(f"needs the extra {extra}")
    env = make_env(name, render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    env.close()
    assert picture.ndim == 3 and picture.dtype == np.uint8 and picture.std() > 0


def test_spaces_in_words():
    assert describe_space(gym.spaces.Discrete(3)) == "3 choices"
    assert describe_space(gym.spaces.Box(-2, 2, (1,))) == "1 number in [-2, 2]"
    assert describe_space(gym.spaces.Box(-np.inf, np.inf, (17,))) == "17 numbers"
    assert describe_space(gym.spaces.Box(0, 255, (84, 84, 3), np.uint8)) == "84 x 84 x 3 image"


@pytest.mark.filterwarnings("ignore:.*is out of date:UserWarning", "ignore:.*is out of date:DeprecationWarning")
def test_the_command_lists_them(capfd):
    assert main(["envs"]) == 0
    output = capfd.readouterr()
    assert output.out.splitlines()[0].split() == ["environment", "observation", "action", "extra"]
    assert len(output.out.splitlines()) == 1 + sum(map(len, ENVIRONMENTS.values())) and output.err == ""
