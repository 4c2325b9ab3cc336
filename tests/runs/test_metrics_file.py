"""The file `metrics.csv`: any name is written so that it is read again."""

import csv

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from workspace_rl.errors import RunFolderError
from workspace_rl.runs.logger import Logger
from workspace_rl.runs.metrics_file import read_frame, read_metrics


def test_runs_inside_folders_are_one_table(tmp_path):
    for name, value in (("a/one", 1.0), ("a/two", 2.0)):
        logger = Logger(tmp_path / name / "metrics.csv", None)
        logger.add_scalar("x", value, 3)
        logger.flush()
    one, two = (str(tmp_path / "a" / name) for name in ("one", "two"))
    assert read_frame([tmp_path])["run"].tolist() == [one, two]
    frame = read_frame([two, tmp_path / "a" / "one" / "metrics.csv"])
    assert frame.to_dict("list") == {"run": [two, one], "step": [3, 3], "x": [2.0, 1.0]}
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFolderError, match="empty holds no measurements"):
        read_frame([tmp_path / "empty"])
    assert list(read_frame([]).columns) == ["run", "step"]


NAMES = [
    "loss/critic", "a,b", '"a"', '"', 'a"b', "a\nb", "a\r\nb", "\n", "a\0b", "\ud800", "", " ", " a", "a ", "\t",
    "a\\nb", "\\", '\\"', "a\x85b", "a\u2028b", "=1+1", "é", "😀", "step,name,value", "0,loss,1", "a'b", ".", "../x",
    "/x", "x", "a b", "a_b", "x" * 3000, "# c", '""', '","', "\x1b[31m",
]  # fmt: skip


def test_no_name_makes_the_measurements_unreadable(tmp_path):
    logger = Logger(tmp_path / "metrics.csv", tmp_path / "events")
    for value, name in enumerate(NAMES):
        logger.add_scalar(name, value, 3)
        logger.average({name: torch.tensor(0.5)})
    logger.flush(4)
    logger.close()
    assert read_metrics(tmp_path) == {name: [(3, value), (4, 0.5)] for value, name in enumerate(NAMES)}
    # Other readers agree on lines and fields.
    text = (tmp_path / "metrics.csv").read_bytes().decode("utf-8")
    assert len(text.splitlines()) == 2 * len(NAMES) + 1
    rows = list(csv.reader(text.splitlines()))
    assert all(len(row) == 3 for row in rows) and len({row[1] for row in rows[1:]}) == len(NAMES)
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    found = {tag: events.Scalars(tag)[0].value for tag in events.Tags()["scalars"]}
    assert len(found) == len(NAMES) and sorted(found.values()) == list(range(len(NAMES)))
    assert all(found[name] == NAMES.index(name) for name in NAMES if name != "\ud800")
    assert len(list((tmp_path / "events").rglob("*"))) == 1  # no folders of its own


def test_names_that_older_versions_wrote_are_read(tmp_path):
    (tmp_path / "metrics.csv").write_text('step,name,value\n1,a,b,2.0\n1,"a\\x",3.0\n1,",4.0\n1,a\\nb,5.0\n1,,6.0\n')
    read = {name: pairs[0][1] for name, pairs in read_metrics(tmp_path).items()}
    assert read == {"a,b": 2, '"a\\x"': 3, '"': 4, "a\\nb": 5, "": 6}
