"""What the folder of a run says, read as mere data."""

import json

import pytest

from tests.run_folders import make_run
from workspace_rl.config.schema import flatten
from workspace_rl.errors import ConfigError, RunFolderError
from workspace_rl.runs.record import RunRecord, open_runs


def test_nothing_in_a_configuration_is_resolved(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    run = make_run(tmp_path / "run", {}, tau="${oc.env:SECRET}")
    assert RunRecord(run).options["algorithm.tau"] == "${oc.env:SECRET}"


def test_no_file_outside_the_run_is_read(tmp_path):
    run = make_run(tmp_path / "run", {"x": [(1, 2.0)]}, scores={"final": [1.0]})
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (run / "best" / "best_agent.mp4").symlink_to(tmp_path / "secret.mp4")
    (run / "latest").symlink_to(tmp_path, target_is_directory=True)
    record = RunRecord(run)
    assert record.video() is None and record.file("latest/secret.mp4") is None
    assert record.scores("latest", "selection") is None


@pytest.mark.parametrize(
    "content",
    [
        '{"final": 3}',
        '{"final": {"returns": []}}',
        '{"final": {"returns": ["<b>"]}}',
        '{"final": {"returns": [1' + "0" * 400 + "]}}",
        '{"final"',
        "[1]",
    ],
)
def test_damaged_scores_are_told(tmp_path, content):
    run = make_run(tmp_path / "run", {}, scores={"final": [1.0]})
    (run / "best" / "eval.json").write_text(content)
    with pytest.raises(RunFolderError, match="eval.json is damaged"):
        RunRecord(run).scores("best", "final")


@pytest.mark.parametrize("line", ["1,x", "x,y,z", f"{10**30},x,1.0", "-1,x,1.0"])
def test_damaged_metrics_are_told_with_their_line(tmp_path, line):
    run = make_run(tmp_path / "run", {"x": [(1, 2.0)]})
    with (run / "metrics.csv").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(RunFolderError, match=r"metrics.csv, line 3: step,name,value expected"):
        RunRecord(run).metrics()


def test_a_line_that_is_being_written_is_not_read_yet(tmp_path):
    run = make_run(tmp_path / "run", {"x": [(1, 2.0)]})
    with (run / "metrics.csv").open("a") as file:
        file.write("2,x,3.")
    assert RunRecord(run).metrics() == {"x": [(1, 2.0)]}


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(RunFolderError, match="is not the folder of a run"):
        RunRecord(tmp_path)
    with pytest.raises(ConfigError, match="at least one run expected"):
        open_runs([])


def test_origins(tmp_path):
    run = make_run(tmp_path / "run", {})
    assert RunRecord(run).provenance() == {}
    (run / "provenance.json").write_text(json.dumps({"versions": {"torch": "2"}}))
    assert flatten(RunRecord(run).provenance()) == {"versions.torch": "2"}
