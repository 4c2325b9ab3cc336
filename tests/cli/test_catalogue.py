"""Every environment that is said to work does, and says nothing about itself."""

import importlib.util

import gymnasium as gym
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from tests.toys import SpaceEnv
from workspace_rl import Agents, GymAgent, TemporalAgent, Workspace, make_env
from workspace_rl.agents import RandomAgent
from workspace_rl.algos import ALGORITHMS
from workspace_rl.cli import main
from workspace_rl.cli.catalogue import ENVIRONMENTS, describe_space, learned_by
from workspace_rl.config.sources import apply_overrides
from workspace_rl.errors import WorkspaceRLError

MODULES = {
    "": "gymnasium",
    "box2d": "Box2D",
    "mujoco": "mujoco",
    "pybullet": "pybullet_envs_gymnasium",
    "goals": "panda_gym",
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
    assert output.out.splitlines()[0].split() == ["environment", "observation", "action", "extra", "algorithms"]
    lines = {line.split()[0]: line for line in output.out.splitlines()}
    assert lines["Pendulum-v1"].endswith("a2c, crossq, ddpg, ppo, reinforce, sac, td3, tqc")
    assert lines["Taxi-v4"].endswith("a2c, dqn, ppo, reinforce, sac_discrete")
    assert len(output.out.splitlines()) == 1 + sum(map(len, ENVIRONMENTS.values())) and output.err == ""


class Pictures(SpaceEnv):
    def __init__(self):
        super().__init__(gym.spaces.Box(0, 255, (3, 40, 40), np.uint8))


class Parts(SpaceEnv):
    def __init__(self):
        parts = gym.spaces.Dict(a=gym.spaces.Box(-1, 1, (2,)), b=gym.spaces.Discrete(2))
        super().__init__(parts, gym.spaces.Box(-1, 1, (1,)))


gym.register("Pictures-v0", Pictures)
gym.register("Parts-v0", Parts)


@pytest.mark.parametrize("name", [*ENVIRONMENTS[""], "PongNoFrameskip-v4", "Pictures-v0", "Parts-v0"])
@pytest.mark.filterwarnings("ignore:.*is out of date:UserWarning", "ignore:.*is out of date:DeprecationWarning")
def test_who_is_said_to_learn_an_environment_can(name, tmp_path):
    if name.startswith("Pong"):
        pytest.importorskip("ale_py")
    env = make_env(name)
    algorithms, _, needed = learned_by(name, env.observation_space, env.action_space).partition(" with ")
    env.close()
    overrides = needed.split(" and ") if needed else []
    for algorithm, found in ALGORITHMS.items():
        config = {"algo": algorithm, "base_dir": str(tmp_path), "compile": False, "matmul_precision": "highest"}
        config |= {"gym_env": {"env_name": name}, "algorithm": {"n_envs": 1, "total_steps": 20_000}}
        config = apply_overrides(OmegaConf.create(config), overrides if algorithm in algorithms else [])
        if algorithm in algorithms.split(", "):
            found(config)._close_environments()
        else:
            with pytest.raises(WorkspaceRLError):
                found(config)


def test_a_space_that_is_known_to_be_too_small_is_a_true_one():
    agent = GymAgent("LineMDP-v0", 1, auto_reset=False)
    workspace = Workspace()
    agent(workspace, t=0)
    for t in range(3):  # to the right end, and one further
        workspace.set("action", t, torch.zeros(1, dtype=torch.int64))
        agent(workspace, t=t + 1)
    assert workspace["env/env_obs"].flatten().tolist() == [2, 3, 4, 5] and workspace["env/done"][-1].all()
    assert agent.observation_choices == [[-1, 7]]
