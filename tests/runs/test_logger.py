"""Measurements: when they are written, and reading them again."""

import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from workspace_rl.errors import MetricError
from workspace_rl.runs.logger import Logger
from workspace_rl.runs.metrics_file import read_metrics


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


@pytest.mark.parametrize("name", [3, None, ("a",), b"a", torch.tensor(1)])
def test_a_name_that_is_no_text_is_told(tmp_path, name):
    logger = Logger(tmp_path / "metrics.csv", None)
    for record in (lambda: logger.add_scalar(name, 1.0, 0), lambda: logger.average({name: torch.tensor(1.0)})):
        with pytest.raises(MetricError, match="a metric's name is a text, but .* was given"):
            record()
    logger.flush()
    assert read_metrics(tmp_path) == {}


@pytest.mark.parametrize("value", ["x", None, [1.0], torch.ones(2), torch.tensor(1j), 1j, 10**400, np.ones(3)])
def test_a_value_that_is_no_number_is_told(tmp_path, value):
    logger = Logger(tmp_path / "metrics.csv", None)
    with pytest.raises(MetricError, match="metric 'loss': one number expected, .* found"):
        logger.add_scalar("loss", value, 0)
    logger.add_scalar("loss", np.float32(1), np.int64(2))
    logger.flush()
    assert read_metrics(tmp_path) == {"loss": [(2, 1.0)]}


def test_numbers_that_are_not_finite_are_written_and_read(tmp_path):
    logger = Logger(tmp_path / "metrics.csv", tmp_path / "events")
    for step, value in enumerate((math.nan, math.inf, -math.inf, torch.tensor(math.nan))):
        logger.add_scalar("x", value, step)
    logger.average({"y": torch.tensor([1.0, math.nan])})
    logger.flush()
    logger.close()
    read = read_metrics(tmp_path)
    assert [repr(value) for _, value in read["x"]] == ["nan", "inf", "-inf", "nan"] and math.isnan(read["y"][0][1])
