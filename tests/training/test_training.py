import itertools
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from workspace_rl import Run, Workspace, load_policy
from workspace_rl.algos import SAC
from workspace_rl.errors import RunFolderError
from workspace_rl.runs.metrics_file import read_metrics


def weights(algorithm):
    return {
        f"{name}.{key}": value
        for name in ("actor", "critic", "target_critic")
        for key, value in getattr(algorithm, name).state_dict().items()
    }


def test_averages_are_those_of_whole_intervals_whenever_the_policy_is_evaluated(tiny_sac):
    tiny_sac["algorithm"]["eval_interval"] = 130
    metrics = read_metrics(SAC(tiny_sac).train(progress=False).run)
    steps = [step for step, _ in metrics["loss/critic"]]
    assert len(metrics["eval/return_mean"]) >= 4
    assert all(later - earlier >= 100 for earlier, later in itertools.pairwise(steps[:-1]))


def test_a_run_leaves_everything_in_its_folder(tiny_sac, tmp_path):
    tiny_sac["record_best"] = True
    sac = SAC(tiny_sac)
    result = sac.train(progress=False)
    run = tmp_path / "run"
    expected = {
        "config.yaml",
        "provenance.json",
        "wall_time.json",
        "composition.svg",
        "metrics.csv",
        "tensorboard",
        "best",
        "latest",
        "checkpoints",
        ".lock",
    }
    assert {path.name for path in run.iterdir()} == expected
    assert {path.name for path in (run / "best").iterdir()} == {
        "policy.safetensors",
        "policy.yaml",
        "eval.json",
        "best_agent.mp4",
    }
    assert list((run / "tensorboard").glob("events*"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["algorithm"]["total_steps"] == 600 and config["algorithm"]["buffer_size"] == 1_000_000

    scores = json.loads((run / "best" / "eval.json").read_text())
    assert scores["selection"]["episodes"] == 2 and scores["final"]["episodes"] == 3
    assert not set(scores["selection"]["seeds"]) & set(scores["final"]["seeds"])
    assert scores["final"]["mean"] == result.final.mean
    assert "3 episodes" in str(result) and str(run) in str(result)

    metrics = read_metrics(run)
    assert [step for step, _ in metrics["eval/return_mean"]][-1] == result.steps >= 600
    for name in (
        "loss/critic",
        "loss/actor",
        "loss/entropy_coefficient",
        "entropy/coefficient",
        "entropy/policy",
        "q_value/mean",
        "gradient_norm/critic",
        "gradient_norm/actor",
        "train/episode_return",
        "train/episode_length",
    ):
        assert metrics[name], name
    assert not any(name.startswith("time/") for name in metrics)
    assert sac.visualize_best() == run / "best" / "best_agent.mp4"


def test_nothing_in_a_run_is_a_pickle(tiny_sac, tmp_path):
    tiny_sac["record_best"] = True
    SAC(tiny_sac).train(progress=False)
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file():
            if path.suffix == ".safetensors":
                with safe_open(path, "pt") as file:
                    assert file.keys()
            elif path.name.startswith("events"):
                assert list(EventFileLoader(str(path)).Load())
            elif path.suffix == ".mp4":
                assert path.read_bytes()[4:8] == b"ftyp"
            else:
                assert path.read_text()


def test_equal_seeds_give_equal_bits_and_equal_files(tiny_sac, tmp_path):
    states, files = [], []
    for name in ("a", "b"):
        tiny_sac["base_dir"] = str(tmp_path / name)
        sac = SAC(tiny_sac)
        torch.rand(7)  # what the program around does must not matter
        sac.train(progress=False)
        states.append(weights(sac))
        files.append((tmp_path / name / "metrics.csv").read_text())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert files[0] == files[1]
    tiny_sac["algorithm"]["seed"] = 2
    tiny_sac["base_dir"] = str(tmp_path / "c")
    other = SAC(tiny_sac)
    other.train(progress=False)
    assert not all(torch.equal(states[0][key], value) for key, value in weights(other).items())


def test_evaluating_more_often_does_not_change_what_is_learned(tiny_sac, tmp_path):
    states = []
    for interval in (50, 600):
        tiny_sac["algorithm"]["eval_interval"] = interval
        tiny_sac["base_dir"] = str(tmp_path / str(interval))
        sac = SAC(tiny_sac)
        sac.train(progress=False)
        states.append(weights(sac))
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_training_leaves_the_programs_random_numbers_alone(tiny_sac):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    SAC(tiny_sac).train(progress=False)
    assert torch.equal(before, torch.get_rng_state())


def test_a_policy_acts_the_same_in_a_fresh_process(tiny_sac, tmp_path):
    sac = SAC(tiny_sac)
    sac.train(progress=False)
    observation = torch.linspace(-1, 1, 30).reshape(10, 3)

    def act(policy):
        workspace = Workspace()
        workspace.set("env/env_obs", 0, observation)
        policy(workspace, t=0)
        return workspace.get("action", 0)

    program = (
        "import torch, workspace_rl as w\n"
        f"policy, ws = w.load_policy({str(tmp_path / 'run' / 'latest')!r}), w.Workspace()\n"
        "ws.set('env/env_obs', 0, torch.linspace(-1, 1, 30).reshape(10, 3))\n"
        "policy(ws, t=0)\n"
        "print(ws.get('action', 0).flatten().double().tolist())"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert act(sac.eval_policy).flatten().double().tolist() == json.loads(output)
    assert torch.equal(act(load_policy(tmp_path / "run" / "latest")), act(sac.eval_policy))


def test_a_run_can_be_scored_and_filmed_later(tiny_sac, tmp_path):
    SAC(tiny_sac).train(progress=False)
    run = Run(tmp_path / "run")
    score = run.evaluate(3)
    assert score.mean == json.loads((tmp_path / "run" / "best" / "eval.json").read_text())["final"]["mean"]
    assert len(run.evaluate(5, "latest").returns) == 5
    assert run.record(2, "latest") == tmp_path / "run" / "latest" / "latest_agent.mp4"


@pytest.mark.parametrize(("updates_per_collect", "expected"), [(1, 64), (3, 192), (0.25, 16)])
def test_any_ratio_of_updates_to_steps(tiny_sac, monkeypatch, updates_per_collect, expected):
    tiny_sac["algorithm"] |= {"updates_per_collect": updates_per_collect, "learning_starts": 96}
    sac = SAC(tiny_sac)
    counted, update = [], sac.update
    monkeypatch.setattr(sac, "update", lambda batch: counted.append(batch) or update(batch))
    sac.train(progress=False)
    # 75 collections of 8 steps, the first 11 of them before learning starts (plus resets at the end of episodes)
    assert len(counted) == pytest.approx(expected, abs=3 * updates_per_collect)


def test_random_steps_come_first(tiny_sac, monkeypatch):
    seen = []
    from workspace_rl.experience import collector

    original = collector.Collector.collect
    monkeypatch.setattr(
        collector.Collector,
        "collect",
        lambda self, n, **kwargs: seen.append((self.n_transitions, kwargs["random"])) or original(self, n, **kwargs),
    )
    tiny_sac["algorithm"]["random_steps"] = 40
    SAC(tiny_sac).train(progress=False)
    assert [random for steps, random in seen] == [steps < 40 for steps, _ in seen]


def test_n_step_returns_train(tiny_sac):
    tiny_sac["algorithm"] |= {"n_step_return": 3, "learning_starts": 0}
    assert SAC(tiny_sac).train(progress=False).steps >= 600


def test_a_fixed_entropy_coefficient_stays(tiny_sac, tmp_path):
    tiny_sac["algorithm"] |= {"entropy_mode": "fixed", "init_entropy_coef": 0.125}
    SAC(tiny_sac).train(progress=False)
    metrics = read_metrics(tmp_path / "run")
    assert {value for _, value in metrics["entropy/coefficient"]} == {0.125}
    assert "loss/entropy_coefficient" not in metrics


def test_max_epochs_counts_collections(tiny_sac):
    del tiny_sac["algorithm"]["total_steps"]
    tiny_sac["algorithm"]["max_epochs"] = 20
    assert SAC(tiny_sac).train(progress=False).steps == 20 * 2 * 4


def test_the_best_policy_is_the_one_with_the_best_evaluation(tiny_sac, tmp_path, monkeypatch):
    from workspace_rl.evaluation.evaluation import Evaluation

    sac = SAC(tiny_sac)
    tiny_sac["algorithm"]["eval_interval"] = 100
    sac = SAC(tiny_sac)
    means = iter([1.0, 5.0, 3.0, 5.0, 2.0, 0.0, 0.0, 0.0])
    states = []

    def scripted():
        states.append({key: value.clone() for key, value in sac.actor.state_dict().items()})
        return Evaluation([next(means)], [1], [0])

    monkeypatch.setattr(sac, "evaluate", scripted)
    result = sac.train(progress=False)
    assert result.selection.mean == 5
    saved = load_policy(tmp_path / "run" / "best").wrapped.state_dict()
    assert all(torch.equal(value, states[1][key]) for key, value in saved.items())


def test_an_existing_run_is_not_overwritten(tiny_sac):
    SAC(tiny_sac).train(progress=False)
    second = SAC(tiny_sac)
    with pytest.raises(RunFolderError, match="exists already"):
        second.train(progress=False)
    with pytest.raises(RunFolderError, match="no best policy yet"):
        second.visualize_best()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_named_for_users(tiny_sac, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunFolderError, match="cannot be created"):
        SAC(tiny_sac).train(progress=False)


def test_an_impossible_folder_is_named(tiny_sac, tmp_path):
    (tmp_path / "file").write_text("")
    tiny_sac["base_dir"] = str(tmp_path / "file" / "run")
    with pytest.raises(RunFolderError, match="cannot be created: Not a directory"):
        SAC(tiny_sac).train(progress=False)


def test_ctrl_c_ends_cleanly(tiny_sac, tmp_path, monkeypatch):
    tiny_sac["algorithm"] |= {"total_steps": 1_000_000, "eval_interval": 200}
    sac = SAC(tiny_sac)
    calls, update = [], sac.update

    def interrupting(batch):
        calls.append(1)
        if len(calls) == 50:
            os.kill(os.getpid(), signal.SIGINT)
        return update(batch)

    monkeypatch.setattr(sac, "update", interrupting)
    handler = signal.getsignal(signal.SIGINT)
    result = sac.train(progress=False)
    assert result.interrupted and result.steps < 1000 and len(calls) == 50
    assert signal.getsignal(signal.SIGINT) is handler
    load_policy(tmp_path / "run" / "latest")
    load_policy(tmp_path / "run" / "best")
    assert read_metrics(tmp_path / "run")["loss/critic"]
    assert json.loads((tmp_path / "run" / "best" / "eval.json").read_text())["selection"]["episodes"] == 2


def test_an_environment_that_fails_loses_nothing(tiny_sac, tmp_path, monkeypatch):
    sac = SAC(tiny_sac)
    calls, update = [], sac.update

    def failing(batch):
        calls.append(1)
        if len(calls) == 30:
            raise RuntimeError("the simulator died")
        return update(batch)

    monkeypatch.setattr(sac, "update", failing)
    with pytest.raises(RuntimeError, match="the simulator died"):
        sac.train(progress=False)
    assert read_metrics(tmp_path / "run")["loss/critic"]
    load_policy(tmp_path / "run" / "latest")
    scores = json.loads((tmp_path / "run" / "latest" / "eval.json").read_text())
    assert scores["step"] == sac.steps and "selection" not in scores


def test_what_environments_draw_when_they_are_made_is_the_runs_own(tiny_sac, tmp_path):
    states = []
    for name in ("a", "b"):
        tiny_sac["base_dir"] = str(tmp_path / name)
        np.random.rand(3)
        sac = SAC(tiny_sac | {"gym_env": {"env_name": "Drawing-v0"}})
        sac.train(progress=False)
        states.append(weights(sac))
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_returns_of_evaluations_are_kept_on_request(tiny_sac, tmp_path):
    tiny_sac["collect_stats"] = True
    SAC(tiny_sac).train(progress=False)
    rows = (tmp_path / "run" / "eval_returns.csv").read_text().splitlines()
    assert len(rows) >= 2 and all(len(row.split(",")) == 3 for row in rows)
