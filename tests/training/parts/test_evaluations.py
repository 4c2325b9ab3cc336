"""Scores that are there later: what is kept is the policy as it was, and files are the same whenever they come."""

from types import SimpleNamespace

import pytest
import torch

from workspace_rl.errors import EnvironmentFailedError
from workspace_rl.evaluation.evaluation import Evaluation
from workspace_rl.runs.logger import Logger
from workspace_rl.training.parts.evaluations import Evaluations
from workspace_rl.training.parts.logs import Logs
from workspace_rl.training.parts.progress import Due, Progress
from workspace_rl.training.parts.selection import Candidate


class Later:
    """An evaluator whose score is there when it is waited for, or once `ready`."""

    took_over = False

    def __init__(self, ready=False):
        self.ready, self.fails = ready, False

    def ask(self, policy):
        self.policy = f"{policy}, copied"
        return self.policy

    def answer(self, *, wait):
        if self.fails:
            raise EnvironmentFailedError("no score")
        return Evaluation([7.0], [3], [1]) if wait or self.ready else None

    def last_answer(self):
        return self.answer(wait=False)

    def renew(self):
        pass


@pytest.fixture
def scene(tmp_path):
    progress, kept, evaluator = Progress(Due(0, 0, 0)), [], Later()
    logs = Logs(
        Logger(tmp_path / "metrics.csv", None), 100, progress, returns_file=tmp_path / "returns.csv", show=False
    )
    selection = SimpleNamespace(
        now=lambda: Candidate("policy", progress.steps), consider=lambda *given: kept.append(given[0])
    )
    by = Evaluations(evaluator, selection, logs)

    def log(step):
        progress.steps = step
        logs.update({"loss": torch.tensor(float(step))})
        logs.scalars({"epsilon": step / 100})
        logs.flush()

    def written():
        return [one.split(",")[:2] for one in (tmp_path / "metrics.csv").read_text().splitlines()[1:]]

    return SimpleNamespace(
        by=by, progress=progress, evaluator=evaluator, kept=kept, log=log, written=written, logs=logs
    )


LOGGED = [["20", "epsilon"], ["20", "loss"], ["30", "epsilon"], ["30", "loss"]]
SCORED = [["10", f"eval/{name}"] for name in ("return_mean", "return_std", "length_mean")]


def test_what_is_measured_before_the_score_is_there_is_written_after_it(scene, tmp_path):
    scene.progress.steps = 10
    scene.by.ask()
    scene.log(20)
    scene.log(30)
    scene.by.take_up(wait=False)
    assert scene.written() == [] and scene.kept == []
    scene.by.take_up()
    assert scene.written() == SCORED + LOGGED and scene.kept == [Candidate("policy, copied", 10)]
    assert (tmp_path / "returns.csv").read_text() == "10,7.0\n"
    scene.by.take_up()  # nothing is left to take up
    scene.log(40)
    assert len(scene.kept) == 1 and scene.written() == [*SCORED, *LOGGED, ["40", "epsilon"], ["40", "loss"]]


def test_a_score_that_is_there_at_once_gives_the_same_file(scene):
    scene.evaluator.ready = True
    scene.progress.steps = 10
    scene.by.ask()
    assert scene.written() == SCORED
    scene.log(20)
    scene.log(30)
    assert scene.written() == SCORED + LOGGED


def test_the_next_score_waits_for_the_one_before(scene):
    for scene.progress.steps in (10, 20):
        scene.by.ask()
    assert [one.step for one in scene.kept] == [10] and scene.written() == SCORED


def test_numbers_that_change_later_are_written_as_they_were(scene):
    number = torch.tensor(1.0)
    scene.by.ask()
    scene.logs.scalars({"temperature": number})
    scene.logs.flush()
    number.fill_(2.0)
    scene.by.take_up()
    assert scene.written()[-1] == ["0", "temperature"]
    scene.logs.scalars({"temperature": number})
    scene.logs.flush()
    text = scene.logs._logger._path.read_text().splitlines()
    assert text[-2:] == ["0,temperature,1.0", "0,temperature,2.0"]


@pytest.mark.parametrize(("ready", "fails"), [(True, False), (False, False), (False, True)])
def test_at_an_early_end_a_score_is_taken_up_if_it_is_there_and_nothing_measured_is_lost(ready, fails, scene):
    scene.progress.steps = 10
    scene.by.ask()
    scene.log(20)
    scene.log(30)
    scene.evaluator.ready, scene.evaluator.fails = ready, fails
    scene.by.give_up()
    assert scene.written() == (SCORED if ready else []) + LOGGED and len(scene.kept) == ready
