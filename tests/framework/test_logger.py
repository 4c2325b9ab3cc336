"""Measurements: when they are written, and reading them again."""

import pytest
import torch
from matplotlib.figure import Figure

from workspace_rl.errors import RunFolderError
from workspace_rl.logger import Logger, read_frame, read_metrics


def test_scalars_wait_until_there_are_more_than_may_wait(tmp_path):
    logger = Logger(tmp_path / "new" / "metrics.csv", None, flush_size=2)
    for step in range(3):
        assert read_metrics(tmp_path / "new") == {}
        logger.add_scalar("x", torch.tensor(float(step)), step)
    assert read_metrics(tmp_path / "new") == {"x": [(0, 0), (1, 1), (2, 2)]}


def test_scalars_are_written_when_they_have_waited_long_enough(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    logger = Logger(tmp_path / "metrics.csv", None, flush_seconds=10)
    for now, written in ((10.0, 0), (10.5, 2), (20.0, 2), (21.0, 4)):  # noqa: B007
        logger.add_scalar("x", 1.0, 0)
        assert len(read_metrics(tmp_path).get("x", [])) == written


def test_averages_get_the_last_scalars_step_unless_one_is_given(tmp_path):
    logger = Logger(tmp_path / "metrics.csv", None)
    logger.add_scalar("x", 1.0, 7)
    logger.average({"loss": torch.tensor([1.0, 2.0])})
    logger.flush()
    logger.average({"loss": torch.tensor(4.0)})
    logger.flush(9)
    assert read_metrics(tmp_path) == {"x": [(7, 1)], "loss": [(7, 1.5), (9, 4)]}


def test_figures_go_to_tensorboard_or_nowhere(tmp_path):
    logger = Logger(tmp_path / "metrics.csv", None)
    logger.add_figure("picture", Figure(), 0)
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]
    for folder in (None, tmp_path / "tensorboard"):
        logger = Logger(tmp_path / "metrics.csv", folder)
        for name in ("add_nonsense", "nonsense"):
            with pytest.raises(AttributeError, match="nonsense"):
                getattr(logger, name)
        logger.close()


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
