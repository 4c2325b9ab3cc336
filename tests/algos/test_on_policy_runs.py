"""Runs of on-policy algorithms: what they learn from, and that they get all that runs have."""

import json
import random
from pathlib import Path

import pytest
import torch

from tests.robustness.killed_runs import differences, finish, kill_somewhere, start
from workspace_rl import Run, Workspace, check, diagram
from workspace_rl.algos import A2C, PPO, REINFORCE
from workspace_rl.errors import ConfigError
from workspace_rl.report import write_report


def run_of(algorithm, folder, env_name="CartPole-v1", compile=False, **parameters):
    minibatches = {"batch_size": 16, "n_epochs": 2} if algorithm is PPO else {}
    return {
        "algo": algorithm.__name__.lower(),
        "gym_env": {"env_name": env_name, "max_episode_steps": 60},
        "base_dir": str(folder),
        "optimizer": {"lr": 1e-2},
        "logger": {"save_tensorboard": False, "log_interval": 200},
        "compile": compile,
        "record_best": False,
        "algorithm": {
            "total_steps": 1500, "n_envs": 4, "n_steps": 8, "nb_evals": 2, "eval_interval": 500,
            "checkpoint_interval": 500, "final_episodes": 3, "architecture": {"hidden_size": [16]},
        } | minibatches | parameters,
    }  # fmt: skip


def rollout_of_two_environments():
    """One terminates at frame 2, one is cut off at frame 3; frame 3, and 4, are resets."""
    no, yes = False, True
    rollout = Workspace()
    rollout["env/env_obs"] = torch.randn(6, 2, 4)
    rollout["action"] = torch.randint(2, (6, 2))
    rollout["action_logprobs"] = torch.zeros(6, 2)
    rollout["env/reward"] = torch.tensor([[9, 1, 2, 9, 4, 5], [9, 1, 2, 3, 9, 5]]).T.float()
    rollout["env/terminated"] = torch.tensor([[no, no, yes, no, no, no], [no] * 6]).T
    rollout["env/done"] = torch.tensor([[no, no, yes, no, no, no], [no, no, no, yes, no, no]]).T
    return rollout


def test_rewards_to_go_are_right_at_the_ends_of_episodes(tmp_path):
    parameters = {"n_envs": 2, "n_steps": 5, "discount_factor": 0.5, "baseline": "none"}
    algorithm = REINFORCE(run_of(REINFORCE, tmp_path, **parameters))
    algorithm.mean_return.fill_(8)
    rows = algorithm.prepare(rollout_of_two_environments())
    # 2: the reward at the end. 4 + (5 + 8 / 2) / 2, since the rollout ends, not the episode. 5 + 8 / 2.
    # And 1 + (2 + (3 + 8 / 2) / 2) / 2, since the episode was cut off.
    expected = torch.tensor([[2.0, 2.0, 0, 8.5, 9.0], [3.75, 5.5, 7.0, 0, 9.0]]).T
    weight = torch.tensor([[1.0, 1, 0, 1, 1], [1, 1, 1, 0, 1]]).T
    assert rows["weight"].equal(weight)
    torch.testing.assert_close(rows["return"] * weight, expected)
    torch.testing.assert_close(rows["advantage"], rows["return"])
    mean = expected.sum() / 8
    assert algorithm.mean_return.item() == pytest.approx(8 + 0.1 * (mean.item() - 8))


@pytest.mark.parametrize("algorithm", [PPO, A2C, REINFORCE])
def test_advantages_are_right_at_the_ends_of_episodes(algorithm, tmp_path):
    made = algorithm(run_of(algorithm, tmp_path, n_envs=2, n_steps=5, discount_factor=0.5, gae_lambda=0.5, **(
        {"batch_size": None} if algorithm is PPO else {})))  # fmt: skip
    rollout = rollout_of_two_environments()
    rollout["value"] = torch.tensor([[4.0, 8, 16, 4, 8, 16], [4.0, 8, 16, 32, 8, 16]]).T
    rows = made.prepare(rollout)
    # Errors: r + V / 2 - V, the value that follows counting nothing after the termination at frame 2.
    expected = torch.tensor([
        [1 + 4 - 4 + (2 - 8) / 4, 2 - 8, 0, 4 + 4 - 4 + (5 + 8 - 8) / 4, 5 + 8 - 8],
        [1 + 4 - 4 + (2 + 8 - 8 + (3 + 16 - 16) / 4) / 4, 2 + 8 - 8 + (3 + 16 - 16) / 4, 3 + 16 - 16, 0, 5 + 8 - 8],
    ]).T  # fmt: skip
    torch.testing.assert_close(rows["advantage"] * rows["weight"], expected)
    assert rows["return"].equal(rows["advantage"] + rows["old/value"]) and rows["old/value"].equal(
        rollout["value"][:-1]
    )


def test_an_environment_does_not_get_its_neighbours_rewards(tmp_path):
    algorithm = PPO(run_of(PPO, tmp_path, n_envs=2, n_steps=3, batch_size=None))
    rollout = rollout_of_two_environments().subtime(0, 4)
    rollout["env/reward"] = torch.tensor([[0.0, 1.0]]).expand(4, 2)
    rollout["env/terminated"] = rollout["env/done"] = torch.zeros(4, 2, dtype=torch.bool)
    rollout["value"] = torch.zeros(4, 2)
    advantage = algorithm.prepare(rollout)["advantage"]
    assert advantage[:, 0].tolist() == [0, 0, 0] and bool((advantage[:, 1] >= 1).all())


@pytest.mark.parametrize("algorithm", [PPO, A2C, REINFORCE])
def test_it_learns(algorithm, tmp_path):
    parameters = run_of(algorithm, tmp_path / "run", "Matching-v0", total_steps=6000, eval_interval=2000)
    assert algorithm(parameters).train(progress=False).final.mean == 3


@pytest.mark.parametrize(("compiled", "normalize"), [(False, False), (True, False), (False, True)])
def test_nothing_has_changed_before_the_first_update(compiled, normalize, tmp_path):
    """The ratio is 1 in the first minibatch of each rollout, also where episodes begin, and where statistics grow."""
    options = {"normalize_observations": normalize, "normalize_rewards": normalize}
    algorithm = PPO(run_of(PPO, tmp_path / "run", compile=compiled, total_steps=200, **options))
    learn, ratios = algorithm.learn, []

    def watched(batch):
        if algorithm.n_updates % 4 == 0:  # two minibatches in each of two epochs
            workspace = Workspace(batch)
            with torch.no_grad():
                algorithm.policy(workspace, given=True)
            ratios.append((workspace["action_logprobs"] - workspace["old/action_logprobs"]).exp())
        return learn(batch)

    algorithm.learn = watched
    algorithm.train(progress=False)
    assert len(ratios) >= 6
    torch.testing.assert_close(torch.stack(ratios), torch.ones(len(ratios), 1, 16), rtol=0, atol=1e-6)


def test_batches_that_do_not_divide_a_rollout_are_refused(tmp_path):
    with pytest.raises(
        ConfigError, match="batch_size: a divisor of the 4 x 8 = 32 rows.*, 20 found; 16 is the nearest"
    ):
        PPO(run_of(PPO, tmp_path, batch_size=20))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody has stopped, of a policy with memory, and its configuration."""
    options = {"normalize_observations": True, "normalize_rewards": True, "anneal_learning_rate": True}
    options["architecture"] = {"hidden_size": [16], "memory": {"kind": "gru", "size": 8}}
    folder = tmp_path_factory.mktemp("runs") / "whole"
    config = run_of(PPO, folder, total_steps=5000, checkpoint_interval=1000, **options)
    PPO(config).train(progress=False)
    return config


def test_a_killed_run_ends_as_if_nothing_had_happened(whole, tmp_path):
    run = tmp_path / "killed"
    Path(tmp_path / "ppo.yaml").write_text(json.dumps(whole | {"base_dir": str(run)}), encoding="utf-8")
    kill_somewhere(start("train", str(tmp_path / "ppo.yaml")), run, random.Random(1), while_writing=False)
    finish(start("resume", str(run)))
    assert differences(run, Path(whole["base_dir"])) == []


def test_it_is_scored_filmed_and_reported(whole):
    folder = Path(whole["base_dir"])
    run = Run(folder)
    assert len(run.evaluate(3).returns) == 3 and run.record().stat().st_size
    assert write_report(folder).is_file()


@pytest.mark.parametrize("algorithm", [PPO, A2C, REINFORCE])
def test_a_compiled_run_measures_what_an_eager_one_does(algorithm, tmp_path):
    runs = [
        algorithm(run_of(algorithm, tmp_path / str(one), compile=one, total_steps=100, n_steps=4, nb_evals=0))
        for one in (False, True)
    ]
    for run in runs:
        run.train(progress=False)
    assert runs[1].learner.compiled is not None
    for ours, theirs in zip(*(run.policy.parameters() for run in runs), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("algorithm", [PPO, A2C, REINFORCE])
def test_it_is_checked_and_drawn_with_the_batches_of_its_rollouts(algorithm, tmp_path):
    made = algorithm(run_of(algorithm, tmp_path))
    assert not check(made) and not check(made).notes
    drawn = diagram(made).svg()
    assert "rollout" in drawn and "replay buffer" not in drawn


def test_hidden_layers_may_be_left_out(tmp_path):
    linear = PPO(run_of(PPO, tmp_path, architecture={"hidden_size": []}))
    assert [tuple(one.shape) for one in linear.policy.parameters()] == [(2, 4), (2,), (1, 4), (1,)]


def test_without_a_baseline_there_are_no_values_to_ask_again(tmp_path):
    parameters = {"baseline": "none", "recompute_advantages": True, "n_epochs": 2, "total_steps": 64, "nb_evals": 0}
    algorithm = REINFORCE(run_of(REINFORCE, tmp_path / "run", **parameters))
    algorithm.train(progress=False)
    assert algorithm.n_updates >= 4


def test_updates_are_planned_for_all_collectors(tmp_path):
    def planned(**parameters):
        return PPO(run_of(PPO, tmp_path, total_steps=640, **parameters) | {"collectors": {"n": 2}}).planned_updates()

    assert planned(n_epochs=3) == 3 * 640 // 16 and planned(n_epochs=3, batch_size=None) == 3 * 10
