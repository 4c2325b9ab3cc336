"""REINFORCE on the parts of the loop: what it learns from, and that it gets all that runs have."""

import json
import random
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from torch.distributions import Categorical

from tests.examples import reinforce
from tests.examples.reinforce import REINFORCE
from tests.robustness.killed_runs import differences, finish, kill_somewhere, start
from workspace_rl import Run, Workspace, check, diagram
from workspace_rl.basics.classes import class_name
from workspace_rl.policies import load_policy
from workspace_rl.report import write_report

NAME = class_name(REINFORCE)


def run_of(folder, env_name="CartPole-v1", compile=False, **algorithm):
    return {
        "algo": NAME,
        "gym_env": {"env_name": env_name, "max_episode_steps": 60},
        "base_dir": str(folder),
        "hidden_size": [16],
        "optimizer": {"lr": 1e-2},
        "logger": {"save_tensorboard": False, "log_interval": 200},
        "compile": compile,
        "record_best": False,
        "algorithm": {
            "total_steps": 1500, "n_envs": 4, "n_steps": 8, "nb_evals": 2, "eval_interval": 500,
            "checkpoint_interval": 500, "final_episodes": 3,
        } | algorithm,
    }  # fmt: skip


def test_it_is_a_page_and_has_no_parameters_of_a_replay_buffer():
    assert len(Path(reinforce.__file__).read_text(encoding="utf-8").splitlines()) <= 60
    names = {one.name for one in fields(reinforce.Config().algorithm)}
    assert names.isdisjoint({"buffer_size", "batch_size", "learning_starts", "random_steps", "updates_per_collect"})


def test_returns_are_right_at_the_ends_of_episodes(tmp_path):
    """Two environments: one terminates at frame 2, one is cut off at frame 3; frame 3, and 4, are resets."""
    algorithm = REINFORCE(run_of(tmp_path, n_envs=2, n_steps=5, discount_factor=0.5))
    algorithm.mean_return.fill_(8)
    no, yes = False, True
    batch = Workspace()
    batch["env/env_obs"] = torch.randn(6, 2, 4)
    batch["action"] = torch.randint(2, (6, 2))
    batch["env/reward"] = torch.tensor([[9, 1, 2, 9, 4, 5], [9, 1, 2, 3, 9, 5]]).T.float()
    batch["env/terminated"] = torch.tensor([[no, no, yes, no, no, no], [no] * 6]).T
    batch["env/done"] = torch.tensor([[no, no, yes, no, no, no], [no, no, no, yes, no, no]]).T
    logits = algorithm.policy.logits(batch["env/env_obs"])
    log_prob = Categorical(logits=logits).log_prob(batch["action"]).detach()
    # 1: the reward at the end. 3: 4 + (5 + 8 / 2) / 2, since the rollout ends, not the episode. 4: 5 + 8 / 2.
    # And 1: 2 + (3 + 8 / 2) / 2, since the episode was cut off. 2: 3 + 8 / 2. 4: 5 + 8 / 2.
    rows, envs = torch.tensor([1, 3, 4, 1, 2, 4]), torch.tensor([0, 0, 0, 1, 1, 1])
    advantage = torch.tensor([2.0, 8.5, 9.0, 5.5, 7.0, 9.0]) - 8
    metrics = algorithm.update(batch)
    assert metrics["loss/policy"].item() == pytest.approx(-(advantage * log_prob[rows, envs]).mean().item(), rel=1e-5)
    assert metrics["mean_return"].item() == pytest.approx(8 + 0.1 * advantage.mean().item())


def test_it_learns(tmp_path):
    result = REINFORCE(run_of(tmp_path / "run", "Matching-v0", total_steps=6000, eval_interval=2000)).train(
        progress=False
    )
    assert result.final.mean == 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody has stopped, and its configuration."""
    config = run_of(tmp_path_factory.mktemp("runs") / "whole", total_steps=10_000, checkpoint_interval=1000)
    REINFORCE(config).train(progress=False)
    return config


def test_a_killed_run_ends_as_if_nothing_had_happened(whole, tmp_path):
    run = tmp_path / "killed"
    Path(tmp_path / "reinforce.yaml").write_text(json.dumps(whole | {"base_dir": str(run)}), encoding="utf-8")
    kill_somewhere(start("train", str(tmp_path / "reinforce.yaml")), run, random.Random(1), while_writing=False)
    finish(start("resume", str(run), "--allow", NAME))
    assert differences(run, Path(whole["base_dir"])) == []


def test_it_is_scored_filmed_and_reported(whole):
    folder = Path(whole["base_dir"])
    assert load_policy(folder, allow=[NAME, "tests.examples.reinforce:CategoricalPolicy"]).description()
    run = Run(folder, allow=[NAME])
    assert len(run.evaluate(3).returns) == 3 and run.record().stat().st_size
    scored = finish(start("evaluate", str(folder), "--episodes", "3", "--allow", NAME))
    assert "over 3 episodes" in scored
    run.film("best").unlink()
    finish(start("record", str(folder), "--allow", NAME))
    assert run.film("best").stat().st_size
    assert write_report(folder).is_file()


def test_a_compiled_run_measures_what_an_eager_one_does(tmp_path):
    runs = [REINFORCE(run_of(tmp_path / str(one), compile=one, total_steps=300, n_steps=4)) for one in (False, True)]
    for run in runs:
        run.train(progress=False)
    assert runs[1].learner.compiled is not None
    for ours, theirs in zip(*(run.policy.parameters() for run in runs), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_it_is_checked_and_drawn_with_the_batches_of_its_rollouts(tmp_path):
    algorithm = REINFORCE(run_of(tmp_path))
    assert not check(algorithm) and not check(algorithm).notes
    drawn = diagram(algorithm).svg()
    assert "rollout" in drawn and "replay buffer" not in drawn

    class Forgetful(REINFORCE):
        def make_experience(self):
            experience = super().make_experience()
            experience.variables.append("actions")
            return experience

    config = run_of(tmp_path)
    del config["algo"]
    assert "the rollout names 'actions', which no agent writes when collecting." in str(check(Forgetful(config)))
