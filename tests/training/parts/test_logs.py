"""What is written of fragments, updates and evaluations, and when."""

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from workspace_rl import Workspace
from workspace_rl.evaluation.evaluation import Evaluation
from workspace_rl.experience.fragment import Episodes, Fragment
from workspace_rl.runs.logger import Logger
from workspace_rl.runs.metrics_file import read_metrics
from workspace_rl.training.parts.logs import Logs
from workspace_rl.training.parts.progress import Due, Progress


@pytest.fixture
def progress():
    return Progress(Due(0, 0, 0))


@pytest.fixture
def logs(tmp_path, progress):
    return Logs(
        Logger(tmp_path / "metrics.csv", None), 100, progress, returns_file=tmp_path / "returns.csv", show=False
    )


def fragment(*returns):
    returns = torch.tensor(returns, dtype=torch.float64)
    return Fragment(Workspace(), n_transitions=1, episodes=lambda: Episodes(returns, 2 * returns))


def test_episodes_and_metrics_are_averaged_between_two_flushes(logs, progress, tmp_path):
    for value, *returns in ((1.0, 10.0, 20.0), (2.0,), (6.0, 60.0)):
        progress.steps += 10
        logs.fragment(fragment(*returns))
        logs.update({"loss": torch.tensor(value)})
    logs.scalars({"epsilon": 0.5})
    logs.flush()
    assert read_metrics(tmp_path) == {
        "train/episode_return": [(30, 30.0)],
        "train/episode_length": [(30, 60.0)],
        "loss": [(30, 3.0)],
        "epsilon": [(30, 0.5)],
    }


def test_a_score_is_written_at_once_and_leaves_averages_to_be_collected(logs, progress, tmp_path):
    progress.steps = 10
    logs.update({"loss": torch.tensor(1.0)})
    logs.evaluation(Evaluation([1.0, 3.0], [4, 8], [5, 6]), 10)
    assert read_metrics(tmp_path) == {
        "eval/return_mean": [(10, 2.0)], "eval/return_std": [(10, 1.0)], "eval/length_mean": [(10, 6.0)],
    }  # fmt: skip
    progress.steps = 20
    logs.update({"loss": torch.tensor(2.0)})
    logs.flush()
    assert read_metrics(tmp_path)["loss"] == [(20, 1.5)]


def test_each_return_of_an_evaluation_has_its_place_in_a_line(logs, progress, tmp_path):
    for step in (10, 20):
        progress.steps = step
        logs.scored(Evaluation([0.1, step / 3], [1, 1], [1, 2]), step)
    logs.close()
    assert (tmp_path / "returns.csv").read_text() == f"10,0.1,{10 / 3!r}\n20,0.1,{20 / 3!r}\n"


def test_no_such_file_is_written_unless_it_is_asked_for(tmp_path, progress):
    logs = Logs(Logger(tmp_path / "metrics.csv", None), 100, progress, returns_file=None, show=False)
    logs.scored(Evaluation([1.0], [1], [1]), 0)
    logs.close()
    assert [one.name for one in tmp_path.iterdir()] == ["metrics.csv"]


def test_the_bar_shows_steps_and_scores_and_stops_at_the_end(tmp_path, progress, capsys):
    progress.steps = 90
    logs = Logs(Logger(tmp_path / "metrics.csv", None), 100, progress, returns_file=None, show=True)
    progress.steps = 104
    progress.best = (90, Evaluation([7.0], [1], [1]))
    logs.fragment(fragment())
    logs.scored(Evaluation([5.0], [1], [1]), 90)
    logs.close()
    shown = capsys.readouterr().err
    assert "100/100" in shown and shown.rstrip().endswith("step/s, best=7.0, last=5.0]")


class Fleet:
    """What logs ask of collectors that are watched."""

    def __init__(self):
        self.asked = 0

    def texts(self):
        self.asked += 1
        return {"collectors": "2/3", "waits": "learner 20%"}

    def scalars(self):
        return {"collectors/alive": 2.0}

    def keep(self):
        self.asked = "kept"


class Ages:
    """What logs ask of an experience."""

    def metrics(self, n_updates):
        return {"weights_age/mean": n_updates + 3.5}

    def distributions(self, n_updates):
        return {"weights_age": torch.tensor([n_updates + 3, n_updates + 4])}


def test_what_an_experience_measures_is_written_and_its_distributions_for_tensorboard_alone(tmp_path, progress):
    logger = Logger(tmp_path / "metrics.csv", tmp_path / "tensorboard")
    logs = Logs(logger, 100, progress, returns_file=None, show=False)
    progress.steps, progress.n_updates = 20, 5
    logs.experience(Ages())
    logs.experience(object())  # one that measures nothing
    logs.close()
    (histogram,) = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Histograms("weights_age")
    assert (histogram.step, histogram.histogram_value.num, histogram.histogram_value.max) == (20, 2, 9)


def test_the_bar_shows_collectors_beside_scores(tmp_path, progress, capsys):
    fleet = Fleet()
    logs = Logs(
        Logger(tmp_path / "metrics.csv", None, verbose=True), 100, progress, returns_file=None, show=True, fleet=fleet
    )
    fleet.tell("the estimate")
    for progress.steps in range(90):
        logs.fragment(fragment())
    logs.experience(Ages())
    assert fleet.asked == 1  # not at each fragment
    logs.scored(Evaluation([5.0], [1], [1]), 90)
    progress.steps = 100
    logs.fragment(fragment())
    logs.flush()
    logs.close()
    printed = capsys.readouterr()
    assert "collectors=2/3, waits=learner 20%, age=3.5, best=none, last=5.0]" in printed.err
    assert printed.out == "the estimate\nstep 89: weights_age/mean = 3.5\n" and fleet.asked == "kept"
    assert read_metrics(tmp_path) == {"weights_age/mean": [(89, 3.5)]}


def test_a_bar_that_is_not_shown_asks_for_nothing(tmp_path, progress):
    fleet = Fleet()
    logs = Logs(Logger(tmp_path / "metrics.csv", None), 100, progress, returns_file=None, show=False, fleet=fleet)
    logs.fragment(fragment())
    assert fleet.asked == 0
