"""Which policies are kept: the latest always, the best if it is better; their scores, and no film of an older one."""

import math
from types import SimpleNamespace

import pytest

from workspace_rl import load_policy
from workspace_rl.agents import DeterministicActor
from workspace_rl.evaluation.evaluation import Evaluation
from workspace_rl.training.parts.progress import Due, Progress
from workspace_rl.training.parts.selection import Selection


class Folder:
    """What a selection asks of a run."""

    def __init__(self, path):
        self.path, self.saved = path, []

    def film(self, which):
        return self.path / which / "film.mp4"

    def save_scores(self, which, **scores):
        self.saved.append((which, scores["step"], scores["selection"] and scores["selection"]["mean"]))


@pytest.fixture
def kept(tmp_path):
    policy, progress, run = DeterministicActor(3, [4], 1), Progress(Due(0, 0, 0)), Folder(tmp_path)
    return SimpleNamespace(
        policy=policy, progress=progress, run=run, by=Selection(run, policy, progress, save_best=True)
    )


def scored(kept, step, mean):
    kept.progress.steps = step
    kept.by.consider(kept.by.now(), Evaluation([mean], [1], [1]))


def bias(policy):
    return [one for one in policy.parameters()][-1].detach()


def test_the_latest_policy_is_kept_and_the_best_if_it_is_better(kept, tmp_path):
    for step, mean in ((10, 1.0), (20, 3.0), (30, 2.0), (40, math.nan)):
        bias(kept.policy).fill_(step)
        scored(kept, step, mean)
        assert kept.progress.evaluated_at == step and bias(load_policy(tmp_path / "latest")) == step
    assert kept.progress.best[0] == 20 and bias(load_policy(tmp_path / "best")) == 20
    assert [one for one in kept.run.saved if one[0] == "best"] == [("best", 10, 1.0), ("best", 20, 3.0)]
    assert [step for which, step, _ in kept.run.saved if which == "latest"] == [10, 20, 30, 40]


def test_the_film_of_an_older_best_policy_goes(kept, tmp_path):
    scored(kept, 10, 1.0)
    film = tmp_path / "best" / "film.mp4"
    film.touch()
    scored(kept, 20, 0.0)
    assert film.is_file()
    scored(kept, 30, 2.0)
    assert not film.exists()


def test_a_policy_without_a_score_is_kept_without_one(kept):
    kept.progress.steps = 50
    kept.by.keep_latest(kept.by.now(), None)
    kept.by.keep_best(kept.by.now(), None)
    assert kept.run.saved == [("latest", 50, None), ("best", 50, None)] and kept.progress.best == (50, None)
    assert kept.progress.evaluated_at == -1


def test_the_best_one_is_known_where_it_is_not_to_be_saved(kept, tmp_path):
    kept.by = Selection(kept.run, kept.policy, kept.progress, save_best=False)
    scored(kept, 10, 1.0)
    assert kept.progress.best[0] == 10 and not (tmp_path / "best").exists() and (tmp_path / "latest").is_dir()
