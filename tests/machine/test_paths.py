"""Paths mean what they meant when they were given, wherever an environment takes the working directory to."""

import os

import gymnasium as gym
import numpy as np
import pytest
import yaml

from workspace_rl import GymAgent, Run, Workspace
from workspace_rl.algos import DQN, SAC
from workspace_rl.errors import RunFolderError
from workspace_rl.inspection import diagram
from workspace_rl.report import write_report
from workspace_rl.runs.logger import Logger


class Wanderer(gym.Env):
    """Goes to a folder of its own, as simulators do; at each reset, or already when it is made."""

    observation_space = gym.spaces.Box(-9, 99, (1,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, to, early=False, render_mode=None):
        self.to, self.render_mode = to, render_mode
        if early:
            os.chdir(to)

    def reset(self, *, seed=None, options=None):
        os.chdir(self.to)
        self.k = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.k += 1
        return np.full(1, self.k, np.float32), 1.0, self.k >= 20, False, {}

    def render(self):
        return np.zeros((32, 32, 3), np.uint8)


class WanderingChoices(Wanderer):
    action_space = gym.spaces.Discrete(2)


gym.register("Wanderer-v0", Wanderer)
gym.register("WanderingChoices-v0", WanderingChoices)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Where the program is, and where environments go."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(here)
    return here, elsewhere


@pytest.fixture
def parameters(tiny_sac, places):
    tiny_sac["gym_env"] = {"env_name": f"{__name__}:Wanderer-v0", "env_args": {"to": str(places[1])}}
    tiny_sac["algorithm"] |= {"total_steps": 300, "checkpoint_interval": 100}
    tiny_sac["base_dir"] = "outputs/run"
    return tiny_sac


@pytest.mark.parametrize("early", [False, True])
def test_all_of_a_run_is_in_one_folder(early, parameters, places):
    here, elsewhere = places
    parameters["gym_env"]["env_args"]["early"] = early
    parameters |= {"record_best": True, "collect_stats": True}
    parameters["logger"] |= {"log_dir": "events", "save_tensorboard": True}
    result = SAC(parameters).train(progress=False)
    assert result.run == here / "outputs" / "run" and result.video.is_file() and result.tensorboard == here / "events"
    assert not list(elsewhere.iterdir())
    assert {one.name for one in here.iterdir()} == {"outputs", "events"} and list((here / "events").iterdir())
    # The program is where it was, so its next relative path means what it says.
    assert os.getcwd() == str(here)
    config = yaml.safe_load((result.run / "config.yaml").read_text())
    assert config["base_dir"] == str(result.run) and config["logger"]["log_dir"] == str(here / "events")
    run = Run("outputs/run")
    run.evaluate(2)
    assert run.record(path="film.mp4") == here / "film.mp4" and (here / "film.mp4").is_file()
    assert os.getcwd() == str(here)
    # Without that, too.
    GymAgent(lambda: Wanderer(str(elsewhere)))(Workspace(), t=0)
    assert os.getcwd() == str(elsewhere)
    assert run.scores()["final"] and run.policy()
    resumed = SAC.restore(run.path, ["algorithm.total_steps=400"])
    assert resumed.train(progress=False).run == result.run
    assert not list(elsewhere.iterdir())


def test_objects_keep_the_paths_they_were_given(parameters, places):
    here, elsewhere = places
    logger = Logger("metrics.csv", "events")
    sac = SAC(parameters)
    os.chdir(elsewhere)
    logger.add_scalar("x", 1.0, 1)
    logger.flush(1)
    logger.close()
    assert (here / "metrics.csv").is_file() and (here / "events").is_dir()
    assert sac.train(progress=False).run == here / "outputs" / "run"
    os.chdir(here)
    assert write_report("outputs/run") == here / "outputs" / "run" / "report.html"
    assert diagram(SAC(parameters | {"base_dir": "x"})).save("picture.svg") == here / "picture.svg"
    assert not list(elsewhere.iterdir())


def test_features_come_from_where_they_were_when_the_environment_was_not_made_yet(parameters, places):
    parameters["algorithm"]["architecture"] = {"hidden_size": [8]}
    parameters["gym_env"]["env_name"] = f"{__name__}:WanderingChoices-v0"
    DQN(parameters).train(progress=False)
    parameters["gym_env"]["env_args"]["early"] = True
    parameters["algorithm"]["architecture"]["features_from"] = "outputs/run"
    parameters["base_dir"] = "outputs/second"
    dqn = DQN(parameters)
    assert dqn.config.algorithm.architecture.features_from == str(places[0] / "outputs" / "run")
    dqn._close_environments()


def test_a_working_directory_that_is_gone_is_told_of(parameters, places):
    gone = places[0] / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    with pytest.raises(RunFolderError, match=r"'outputs/run' is relative, but the working directory does not exist"):
        SAC(parameters)
