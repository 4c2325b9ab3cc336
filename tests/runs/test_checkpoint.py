"""Runs that go on from their checkpoints, and what is done about damaged ones."""

import copy
import itertools
import json
import re
import subprocess
import sys

import pytest
import torch

from tests.robustness.killed_runs import differences
from workspace_rl import Run
from workspace_rl.algos import SAC, TD3
from workspace_rl.cli import main
from workspace_rl.errors import CheckpointError, ConfigError, RunFolderError
from workspace_rl.evaluation.evaluation import Evaluation
from workspace_rl.machine.files import FolderLock, write_bytes


class Stopped(Exception):
    pass


def train_until(algorithm, n_updates):
    """Train, and stop in the midst of an update, as a crash would."""
    learn = algorithm.learn

    def stopping(batch):
        if algorithm.n_updates == n_updates:
            raise Stopped
        return learn(batch)

    algorithm.learn = stopping
    with pytest.raises(Stopped):
        algorithm.train(progress=False)


@pytest.fixture
def parameters(tiny_sac):
    tiny_sac["algorithm"] |= {"checkpoint_interval": 120}
    # What is measured in time may come out otherwise in the other run.
    return tiny_sac | {"matmul_precision": "highest"}


@pytest.fixture
def stopped(parameters, tmp_path):
    """A run that was stopped at about step 400 of 600, and the same one that was not."""
    whole = copy.deepcopy(parameters) | {"base_dir": str(tmp_path / "whole")}
    SAC(whole).train(progress=False)
    train_until(SAC(parameters), 40)
    return tmp_path / "run", tmp_path / "whole"


def resume(run, *overrides):
    return SAC.restore(run, overrides).train(progress=False)


def test_a_resumed_run_ends_as_one_that_was_not_stopped(stopped):
    run, whole = stopped
    result = resume(run)
    assert result.steps >= 600 and differences(run, whole) == []
    assert (run / "config.yaml").read_text().replace("/run", "/whole") == (whole / "config.yaml").read_text()


def test_so_does_one_that_was_stopped_before_its_first_checkpoint(parameters, tmp_path):
    SAC(copy.deepcopy(parameters) | {"base_dir": str(tmp_path / "whole")}).train(progress=False)
    train_until(SAC(parameters), 1)
    with pytest.warns(UserWarning, match="no checkpoint yet and starts from the beginning"):
        resume(tmp_path / "run")
    assert differences(tmp_path / "run", tmp_path / "whole") == []


@pytest.mark.parametrize("optimizer", ["torch.optim.SGD", "torch.optim.AdamW", "torch.optim.RMSprop"])
def test_every_optimiser_goes_on_where_it_was(optimizer, parameters, tmp_path):
    parameters |= {"algo": "td3", "critic_optimizer": {"classname": optimizer, "lr": 1e-3}}
    TD3(copy.deepcopy(parameters) | {"base_dir": str(tmp_path / "whole")}).train(progress=False)
    train_until(TD3(parameters), 45)
    TD3.restore(tmp_path / "run").train(progress=False)
    assert differences(tmp_path / "run", tmp_path / "whole") == []


def test_only_the_last_two_checkpoints_are_kept_and_frames_are_written_once(stopped):
    _, whole = stopped
    names = sorted(file.name for file in (whole / "checkpoints").iterdir())
    assert [name for name in names if name.startswith("checkpoint-")] == ["checkpoint-480.json", "checkpoint-600.json"]
    rows = [tuple(map(int, re.findall(r"\d+", name)[:2])) for name in names if name.startswith("rows-")]
    assert rows[0][0] == 0 and all(one[1] == next[0] for one, next in itertools.pairwise(rows))


def test_a_complete_run_becomes_longer(parameters, tmp_path):
    longer = copy.deepcopy(parameters) | {"base_dir": str(tmp_path / "whole")}
    parameters["algorithm"] |= {"total_steps": 480, "eval_interval": 240}
    longer["algorithm"] |= {"total_steps": 960, "eval_interval": 240}
    SAC(longer).train(progress=False)
    SAC(parameters).train(progress=False)
    result = resume(tmp_path / "run", "algorithm.total_steps=960")
    assert result.steps >= 960 and differences(tmp_path / "run", tmp_path / "whole") == []


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, lambda path: path.unlink()])
@pytest.mark.parametrize("kind", ["state", "rows", "copy-360-metrics", "checkpoint"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(damage, kind, stopped):
    run, whole = stopped
    files = sorted((run / "checkpoints").glob(f"{kind}*"), key=lambda file: int(re.findall(r"\d+", file.name)[0]))
    damage(files[-1])
    with pytest.warns(UserWarning, match=rf"(?s){files[-1].name}.*goes on from step 240"):
        resume(run)
    assert differences(run, whole) == []


def test_if_all_are_damaged_nothing_is_done(stopped):
    run, _ = stopped
    for file in (run / "checkpoints").glob("state-*"):
        truncate(file)
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    with pytest.raises(CheckpointError, match=r"(?s)no checkpoint of the run is whole.*state-360.*state-240"):
        SAC.restore(run)
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


def test_nor_if_all_manifests_are_missing(stopped):
    run, _ = stopped
    for file in (run / "checkpoints").glob("checkpoint-*"):
        file.unlink()
    with pytest.raises(CheckpointError, match=r"(?s)no checkpoint of the run is whole.*checkpoint-240.*checkpoint-360"):
        SAC.restore(run)


def test_nor_if_they_were_removed(stopped):
    run, _ = stopped
    for file in (run / "checkpoints").iterdir():
        file.unlink()
    measured = (run / "metrics.csv").read_bytes()
    with pytest.raises(CheckpointError, match="further than its first checkpoint, but there is none"):
        SAC.restore(run)
    assert (run / "metrics.csv").read_bytes() == measured


def test_a_manifest_cannot_lead_out_of_its_folder(stopped, tmp_path):
    run, _ = stopped
    from workspace_rl.runs.checkpoints import _checksum

    (tmp_path / "secret").write_text("x")
    for path in (run / "checkpoints").glob("checkpoint-*.json"):
        manifest = json.loads(path.read_text())
        del manifest["checksum"]
        manifest["copies"]["metrics.csv"] = "../../secret"
        manifest["files"]["../../secret"] = {"bytes": 1, "sha256": "0"}
        path.write_text(json.dumps(manifest | {"checksum": _checksum(manifest)}))
    with pytest.raises(CheckpointError, match="outside of its folder"):
        SAC.restore(run)


def test_the_configuration_must_be_that_of_the_checkpoint(stopped):
    run, _ = stopped
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("discount_factor: 0.99", "discount_factor: 0.9"))
    with pytest.raises(ConfigError, match=r"algorithm.discount_factor: 0.99 in the checkpoint, 0.9 now"):
        SAC.restore(run)


def test_what_would_change_the_course_cannot_be_overridden(stopped, capsys):
    run, _ = stopped
    assert main(["resume", str(run), "algorithm.batch_size=8"]) == 1
    assert "algorithm.batch_size cannot be changed when a run is resumed" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="base_dir cannot be changed"):
        SAC.restore(run, ["base_dir=elsewhere"])


def test_a_run_without_checkpoints_says_so(parameters, tmp_path):
    parameters["algorithm"]["checkpoint_interval"] = None
    SAC(parameters).train(progress=False)
    assert not (tmp_path / "run" / "checkpoints").exists()
    with pytest.raises(RunFolderError, match="keeps no checkpoints"):
        SAC.restore(tmp_path / "run")


def test_ctrl_c_ends_early_and_the_run_can_go_on(parameters, tmp_path, monkeypatch):
    import signal

    SAC(copy.deepcopy(parameters) | {"base_dir": str(tmp_path / "whole")}).train(progress=False)
    sac = SAC(parameters)
    learn = sac.learn
    sac.learn = lambda batch: (sac.n_updates == 40 and signal.raise_signal(signal.SIGTERM), learn(batch))[1]
    assert sac.train(progress=False).interrupted
    resume(tmp_path / "run")
    assert differences(tmp_path / "run", tmp_path / "whole") == []


def test_a_longer_run_forgets_scores_and_films_of_older_policies(parameters, tmp_path):
    parameters["record_best"] = True
    learner = SAC(parameters)
    result = learner.train(progress=False)
    run, film = result.run, learner.visualize_best()
    Run(run).save_scores("latest", final={"mean": 0.0})
    longer = SAC.restore(run, ["algorithm.total_steps=720", "record_best=false"])
    longer.progress.best = (0, Evaluation([-1e9], [1], [1]))  # so that the next policy is better
    longer.train(progress=False)
    assert Run(run).scores("latest")["step"] >= 720 and "final" not in Run(run).scores("latest")
    assert not film.exists()
    assert longer.visualize_best() == film and film.exists()


# ---- one writer, whole files --------------------------------------------------------------------------------------


def test_the_folder_is_locked_until_the_final_score_is_written_and_free_after_a_failure(stopped, monkeypatch):
    run, _ = stopped
    learner = SAC.restore(run)
    with monkeypatch.context() as broken:
        broken.setattr("workspace_rl.training.recipe.Logger", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            learner.train(progress=False)
    assert learner.train_env.vector_env.closed
    learner = SAC.restore(run)
    evaluate, held = Run.evaluate, []
    monkeypatch.setattr(
        Run, "evaluate", lambda self, *args, **kw: [held.append(self._lock), evaluate(self, *args, **kw)][1]
    )
    learner.train(progress=False)
    assert held[0] is not None and learner.run._lock is None


def test_two_processes_cannot_train_in_one_folder(stopped):
    run, _ = stopped
    program = (
        "import sys, time; from workspace_rl.machine.files import FolderLock; lock = FolderLock(sys.argv[1]); "
        "print(1, flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", program, str(run)], stdout=subprocess.PIPE)
    try:
        other.stdout.read(1)
        with pytest.raises(RunFolderError, match=f"being trained in already, by process {other.pid}"):
            SAC.restore(run)
    finally:
        other.kill()
        other.communicate()
    SAC.restore(run).run.unlock()  # a process that was killed holds nothing


def test_nor_can_one_process_twice(tmp_path):
    lock = FolderLock(tmp_path)
    with pytest.raises(RunFolderError, match="by this process"):
        FolderLock(tmp_path)
    lock.release()
    second = FolderLock(tmp_path)
    del second  # nobody holds it any more
    FolderLock(tmp_path).release()


FULL_DISK = """
import resource, sys
from workspace_rl.algos import SAC
from workspace_rl.errors import RunFolderError
sac = SAC.restore(sys.argv[1])
limit = max(file.stat().st_size for file in sac.run.checkpoints.folder.glob("state-*")) - 1
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    sac.train(progress=False)
except RunFolderError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_last_checkpoint_as_it_was(stopped):
    run, whole = stopped
    result = subprocess.run([sys.executable, "-c", FULL_DISK, str(run)], capture_output=True, text=True)
    assert "state-480.safetensors cannot be written" in result.stdout, result.stderr
    assert not list((run / "checkpoints").glob(".*"))
    resume(run)
    assert differences(run, whole) == []


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(RunFolderError, match=r"file cannot be written: No space left on device"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and [one.name for one in tmp_path.iterdir()] == ["file"]


# ---- random numbers -----------------------------------------------------------------------------------------------


def test_every_random_stream_goes_on(stopped):
    import random

    import numpy as np

    from workspace_rl.basics.seeding import RandomState

    def draws():
        return random.gauss(0, 1), random.random(), np.random.normal(), np.random.rand(), torch.rand(2).tolist()

    state, other = RandomState(1), RandomState(2)
    with state:
        random.gauss(0, 1), np.random.normal()  # of each pair, the second is kept for later
        captured = state.capture()
        expected = draws()
    other.restore(captured)
    with other:
        assert draws() == expected
