import json

import pytest

from tests.run_folders import make_run
from workspace_rl.algos.sac import SACConfig
from workspace_rl.errors import ConfigError, RunFolderError
from workspace_rl.runs.record import RunRecord, flatten, group_runs, open_runs


def labels(*paths):
    groups = group_runs(open_runs(paths))
    return {label: [one.path.name for one in records] for label, records in groups.items()}


def test_seeds_of_one_configuration_are_one_group(tmp_path):
    a = make_run(tmp_path / "a", {}, seed=1, tau=0.1)
    b = make_run(tmp_path / "b", {}, seed=2, tau=0.1)
    assert labels(a, b, a) == {"sac": ["a", "b"]}  # each run once


def test_labels_say_in_what_configurations_differ(tmp_path):
    a = make_run(tmp_path / "a", {}, tau=0.1, batch_size=8)
    b = make_run(tmp_path / "b", {}, tau=0.2, batch_size=8)
    c = make_run(tmp_path / "c", {}, tau=0.2, batch_size=8, extra=[1])
    d = make_run(tmp_path / "d", {}, algo="td3")
    assert labels(a, b, c, d) == {
        "sac, tau=0.1, extra=absent": ["a"],
        "sac, tau=0.2, extra=absent": ["b"],
        "sac, tau=0.2, extra=[1]": ["c"],
        "td3": ["d"],
    }


def test_configurations_that_differ_in_many_options_stay_apart(tmp_path):
    base = dict.fromkeys("uvwxyz", 0)
    paths = [make_run(tmp_path / str(k), {}, **base, **{"q": 1 if k else 0}) for k in range(2)]
    paths += [make_run(tmp_path / f"more{k}", {}, **dict.fromkeys("uvwxyz", 1), q=k) for k in range(3)]
    found = labels(*paths)
    assert len(found) == 5 and all(len(names) == 1 for names in found.values())
    assert any(label.endswith("3 more") for label in found)


def test_the_same_label_in_two_environments_is_one_group(tmp_path):
    a = make_run(tmp_path / "a", {}, env_name="A-v0", tau=0.1)
    b = make_run(tmp_path / "b", {}, env_name="B-v0", tau=0.3)
    assert labels(a, b) == {"sac": ["a", "b"]}


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


def test_an_option_that_an_older_run_does_not_know_is_as_today(tmp_path):
    today = SACConfig().algorithm.batch_size
    paths = [
        make_run(tmp_path / name, {}, **options) for name, options in [("old", {}), ("new", {"batch_size": today})]
    ]
    other = make_run(tmp_path / "other", {}, batch_size=today + 1)
    assert labels(*paths, other) == {
        f"sac, batch_size={today}": ["old", "new"],
        f"sac, batch_size={today + 1}": ["other"],
    }
