"""Where a run stands: how it begins, what is due next, and the way through a checkpoint's plain data."""

import json
import math

import pytest

from workspace_rl.config import TrainingConfig
from workspace_rl.evaluation.evaluation import Evaluation
from workspace_rl.training.parts.progress import Due, Progress, next_multiple


@pytest.mark.parametrize(
    ("steps", "interval", "expected"),
    [(0, 100, 100), (99, 100, 100), (100, 100, 200), (101, 100, 200), (250, 100, 300), (7, None, math.inf)],
)
def test_checkpoints_are_due_at_multiples_of_the_interval(steps, interval, expected):
    assert next_multiple(steps, interval) == expected


def test_a_run_begins_with_nothing_done():
    progress = Progress.of(TrainingConfig(eval_interval=50, checkpoint_interval=70), log=20)
    assert (
        progress == Progress(Due(20, 50, 70), steps=0, n_updates=0, evaluated_at=-1, best=None)
        and progress.best_score is None
    )


@pytest.mark.parametrize("best", [None, (40, None), (40, Evaluation([1.5, math.inf], [3, 4], [5, 6]))])
def test_it_is_taken_up_from_plain_data(best):
    progress = Progress(Due(10, 20, math.inf), steps=45, n_updates=7, evaluated_at=40, best=best)
    other = Progress(Due(0, 0, 0))
    other.restore(json.loads(json.dumps(progress.describe())))
    assert other == progress and other.best_score == (best and best[1])
