"""Which evaluation chooses the best policy, and what its files say."""

import json
import math

import pytest

from workspace_rl import Evaluation, Run
from workspace_rl.algos import SAC
from workspace_rl.errors import PolicyFileError
from workspace_rl.plots import learning_curves
from workspace_rl.report import write_report
from workspace_rl.runs.metrics_file import read_metrics
from workspace_rl.runs.record import RunRecord

NAN, INF = math.nan, math.inf


def scoring(returns, config):
    """Return a run of SAC whose evaluations have these returns, in turn."""
    sac = SAC(config)
    scores = iter(returns)
    sac.evaluate = lambda: Evaluation([next(scores)], [1], [1])
    return sac


@pytest.fixture
def short(tiny_sac):
    tiny_sac["algorithm"] |= {"total_steps": 400, "eval_interval": 100, "checkpoint_interval": 200, "final_episodes": 0}
    return tiny_sac


@pytest.mark.parametrize(
    ("returns", "best"),
    [
        ([NAN, 1, 2, 3], 3),
        ([NAN, 2, NAN, 1], 1),
        ([1, NAN, NAN, NAN], 0),
        ([-INF, NAN, -5, -5], 2),
        ([INF, NAN, INF, 1], 0),
        ([1, 1, 1, NAN], 0),
        ([NAN] * 4, None),
    ],
)
def test_a_nan_evaluation_never_becomes_the_best(short, returns, best):
    result = scoring(returns, short).train(progress=False)
    run = Run(result.run)
    if best is None:
        assert (result.selection, result.best_step) == (None, 0)
        with pytest.raises(PolicyFileError, match="no best policy yet"):
            run.policy()
    else:
        assert result.selection.mean == returns[best] == run.scores()["selection"]["mean"]
        steps = [step for step, _ in read_metrics(result.run)["eval/return_mean"]]
        assert result.best_step == steps[best] == run.scores()["step"]
    logged = [value for _, value in read_metrics(result.run)["eval/return_mean"]]
    assert list(map(repr, logged)) == list(map(repr, map(float, returns)))
    assert len(json.loads((result.run / "latest" / "eval.json").read_text())["selection"]["returns"]) == 1
    assert repr(RunRecord(result.run).scores("latest", "selection").mean) == repr(float(returns[-1]))
    # Whoever looks at the run can.
    if any(map(math.isfinite, returns)):
        learning_curves([result.run])
    write_report(result.run)


def test_a_resumed_run_knows_no_nan_as_the_best(short, tmp_path):
    sac = scoring([NAN] * 4, short)
    sac.train(progress=False)
    resumed = SAC.restore(tmp_path / "run", ["algorithm.total_steps=600"])
    # As a checkpoint of an older version has it.
    resumed.progress.best = (100, Evaluation([NAN], [1], [1]))
    resumed.evaluate = lambda: Evaluation([-7.0], [1], [1])
    assert resumed.train(progress=False).selection.mean == -7


def test_returns_in_files_are_sums_in_float64(tiny_sac):
    tiny_sac["gym_env"] = {"env_name": "Paying-v0"}
    result = SAC(tiny_sac).train(progress=False)
    expected = 16_777_218.0
    scores = Run(result.run).scores()
    assert scores["selection"]["returns"] == [expected] * 2 and scores["final"]["returns"] == [expected] * 3
    metrics = read_metrics(result.run)
    for name in ("eval/return_mean", "train/episode_return"):
        assert {value for _, value in metrics[name]} == {expected}
