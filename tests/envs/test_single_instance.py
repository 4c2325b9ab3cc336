"""Simulators of which only one may be open, and runs in which nothing is scored."""

import json

import gymnasium as gym
import numpy as np
import pytest

from tests.robustness.killed_runs import differences
from tests.runs.test_checkpoint import train_until
from workspace_rl import Run, inspection
from workspace_rl.algos import SAC
from workspace_rl.errors import ConfigError, EnvironmentFailedError
from workspace_rl.report import write_report
from workspace_rl.runs.metrics_file import read_metrics


class Exclusive(gym.Env):
    """Refuses to be made while another one is open."""

    observation_space = gym.spaces.Box(-9, 99, (1,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}
    is_open, made = False, 0

    def __init__(self, render_mode=None):
        if Exclusive.is_open:
            raise OSError("port 5005 is in use")
        Exclusive.is_open, self.render_mode, self.closed = True, render_mode, False
        Exclusive.made += 1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.k = 0
        return self.np_random.random(1, dtype=np.float32), {}

    def step(self, action):
        self.k += 1
        return self.np_random.random(1, dtype=np.float32), float(action[0]), False, self.k >= 15, {}

    def render(self):
        return np.zeros((32, 32, 3), np.uint8)

    def close(self):
        if not self.closed:
            Exclusive.is_open, self.closed = False, True


gym.register("Exclusive-v0", Exclusive)


@pytest.fixture
def parameters(tiny_sac):
    Exclusive.is_open = False
    tiny_sac["gym_env"] = {"env_name": f"{__name__}:Exclusive-v0", "single_instance": True}
    tiny_sac["algorithm"] |= {"n_envs": 1, "checkpoint_interval": 120, "total_steps": 400, "eval_interval": 150}
    tiny_sac["record_best"] = True
    return tiny_sac


@pytest.mark.parametrize("nb_evals", [3, 0])
def test_a_simulator_that_can_be_open_only_once_is_trained_in(nb_evals, parameters, tmp_path):
    parameters["algorithm"]["nb_evals"] = nb_evals
    if nb_evals:  # memory begins anew where scoring has closed the environment of training
        parameters["algorithm"] |= {"sequence_length": 4, "burn_in": 2}
        parameters["algorithm"]["architecture"]["memory"] = {"kind": "gru", "size": 8}
    whole = SAC(parameters)
    assert not inspection.check(whole)
    if nb_evals:
        assert len(whole.evaluate().returns) == 3  # before training, too
    result = whole.train(progress=False)
    assert result.steps >= 400 and result.video.is_file() and len(result.final.returns) == 3
    assert not Exclusive.is_open and "final score" in str(result)
    stopped = SAC(parameters | {"base_dir": str(tmp_path / "stopped")})
    if nb_evals:
        stopped.evaluate()
    train_until(stopped, 60)
    resumed = SAC.restore(tmp_path / "stopped").train(progress=False)
    assert differences(tmp_path / "stopped", result.run) == [] and resumed.final == result.final


def test_without_evaluations_the_last_policy_is_the_best(parameters, capsys):
    parameters["algorithm"]["nb_evals"] = 0
    sac = SAC(parameters)
    with pytest.raises(ConfigError, match="algorithm.nb_evals: at least 1"):
        sac.evaluate()
    result = sac.train()
    assert "final score" in capsys.readouterr().out
    assert result.selection is None and result.best_step == result.steps
    run = Run(result.run)
    scores = json.loads((run.path / "best" / "eval.json").read_text())
    assert scores["step"] == result.steps and "selection" not in scores and scores["final"]["episodes"] == 3
    assert not [name for name in read_metrics(run.path) if name.startswith("eval/")]
    best, latest = (run.policy(which).state_dict() for which in ("best", "latest"))
    assert all((best[name] == latest[name]).all() for name in best)
    assert run.evaluate(2).returns and run.record().is_file()
    page = write_report(run.path).read_text()
    assert "Final" in page or "final" in page
    longer = SAC.restore(run.path, ["algorithm.total_steps=500"]).train(progress=False)
    assert longer.best_step == longer.steps >= 500
    assert Run(longer.run).scores()["step"] == longer.steps


def test_what_to_do_is_said_where_a_second_one_is_refused(parameters):
    parameters["gym_env"]["single_instance"] = False
    with pytest.raises(EnvironmentFailedError, match=r"port 5005.*gym_env.single_instance=true"):
        SAC(parameters).train(progress=False)
    Exclusive.is_open = False
    parameters["algorithm"]["n_envs"] = 2
    with pytest.raises(EnvironmentFailedError, match=r"5005.*gym_env.single_instance=true with algorithm.n_envs=1"):
        SAC(parameters)
    parameters["gym_env"]["single_instance"] = True
    with pytest.raises(ConfigError, match="algorithm.n_envs: 1 expected with gym_env.single_instance"):
        SAC(parameters)
