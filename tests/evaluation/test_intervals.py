import numpy as np
import pytest

from workspace_rl.errors import ConfigError, MissingDependencyError
from workspace_rl.evaluation.intervals import bootstrap_interval, interquartile_mean, mean


def test_the_interquartile_mean_is_that_of_the_middle_half():
    assert interquartile_mean([100.0, 1.0, 2.0, -50.0]) == 1.5
    assert interquartile_mean([1.0, 2.0, 6.0]) == 3  # a quarter of three is none
    curves = np.array([[0, 10], [1, 20], [2, 30], [90, -90]])
    assert interquartile_mean(curves).tolist() == [1.5, 15]


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    scores = np.random.default_rng(1).normal(3, 2, 400)
    low, high = bootstrap_interval([scores], mean)
    error = 1.96 * scores.std() / 20
    assert low == pytest.approx(scores.mean() - error, abs=0.02)
    assert high == pytest.approx(scores.mean() + error, abs=0.02)


def test_intervals_cover_as_often_as_they_say():
    generator = np.random.default_rng(0)
    samples = [generator.normal(0, 1, 40) for _ in range(200)]
    intervals = [bootstrap_interval([one], confidence=0.8, n_resamples=300) for one in samples]
    assert 0.7 < np.mean([low < 0 < high for low, high in intervals]) < 0.9


def test_strata_are_resampled_by_themselves():
    """Tasks of very different scores: pooled resampling would mix them up, the stratified one sees no variation."""
    low, high = bootstrap_interval([np.full(5, 1.0), np.full(5, 9.0)], mean)
    assert low == high == 5
    low, high = bootstrap_interval([np.r_[np.full(5, 1.0), np.full(5, 9.0)]], mean)
    assert high - low > 3


def test_curves_have_an_interval_at_each_step_and_the_same_each_time():
    curves = np.random.default_rng(0).normal(0, 1, (6, 7)) + np.arange(7)
    low, high = bootstrap_interval([curves])
    assert low.shape == high.shape == (7,) and (low < high).all()
    assert (bootstrap_interval([curves])[0] == low).all()
    each = [bootstrap_interval([curves[:, k]])[0] for k in range(7)]
    assert np.allclose(low, each, atol=0.2)


def test_a_single_run_has_no_interval():
    low, high = bootstrap_interval([np.ones((1, 3)), np.ones((4, 3))])
    assert np.isnan(low).all() and np.isnan(high).all() and low.shape == (3,)


def test_what_cannot_be_is_told(monkeypatch):
    for strata in ([], [np.empty(0)]):
        with pytest.raises(ConfigError, match="at least one task with at least one run"):
            bootstrap_interval(strata)
    with pytest.raises(ConfigError, match="confidence: a number between 0 and 1 expected, 95 found"):
        bootstrap_interval([np.ones(3)], confidence=95)
    monkeypatch.setitem(__import__("sys").modules, "scipy", None)
    with pytest.raises(MissingDependencyError, match=r'pip install --editable ".*\[plots\]"'):
        interquartile_mean([1.0])
