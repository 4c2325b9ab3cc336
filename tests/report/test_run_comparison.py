"""Whether samples, and groups of runs, differ: by Python and by the command line."""

import numpy as np
import pytest
import scipy.stats

from tests.run_folders import make_run
from workspace_rl.cli import main
from workspace_rl.errors import ConfigError
from workspace_rl.report.comparison import TESTS, differ
from workspace_rl.report.run_comparison import compare_runs


def test_p_value_and_effect_size():
    a, b = np.array([1.0, 2.0, 3.0, 6.0]), np.array([5.0, 7.0, 9.0])
    found = differ(a, b, alpha=0.1)
    assert found and found.p_value == pytest.approx(scipy.stats.ttest_ind(a, b, equal_var=False).pvalue)
    # Cohen's d: the means are 3 and 7, the variances 14/3 and 4.
    assert found.effect_size == pytest.approx(-4 / np.sqrt((14 / 3 + 4) / 2))
    assert found.means == (3, 7) and found.sizes == (4, 3)
    assert str(found) == (
        "means 3 of 4 and 7 of 3: they differ (welch test, p = 0.0561, alpha = 0.1; effect size d = -1.92)"
    )
    assert not differ(a, b, alpha=0.01) and "do not differ" in str(differ(a, b, alpha=0.01))


@pytest.mark.parametrize("test", TESTS)
def test_every_test_says_how_sure_it_is(test):
    near, far = differ(range(6), np.arange(6) + 0.1, test), differ(range(6), np.arange(6) + 20, test)
    assert not near and near.p_value > 0.5 and far and 0 <= far.p_value < 0.05
    same = differ([2.0, 2.0], [2.0, 2.0], test)
    assert not same and same.effect_size == 0 and same.p_value == 1


def test_constant_samples():
    found = differ([1, 1, 1], [2, 2, 2])
    assert found and found.effect_size == -np.inf and found.p_value == 0


@pytest.mark.parametrize(
    "first, text",
    [
        ([1.0], "first: at least two values expected.*1 finite of 1 found"),
        ([], "0 finite of 0"),
        ([1.0, np.nan], "1 finite of 2"),
        ([1.0, 2.0, np.inf], "2 finite of 3"),
        (3.0, "an array"),
        (np.ones((2, 2)), r"an array \[2, 2\]"),
        (["a", "b"], "numbers expected"),
    ],
)
def test_two_finite_values_each_are_needed(first, text):
    with pytest.raises(ConfigError, match=text):
        differ(first, [1.0, 2.0])
    with pytest.raises(ConfigError, match=text.replace("first", "second")):
        differ([1.0, 2.0], first)
    with pytest.raises(ConfigError, match="alpha: a probability"):
        differ([1, 2], [1, 2], alpha=5)


@pytest.fixture
def groups(tmp_path):
    def runs(label, base):
        return [
            make_run(tmp_path / f"{label}-S{seed}", {}, seed=seed, scores={"final": [base + seed, base - 1 + seed]})
            for seed in range(3)
        ]

    return runs("wide", 100.0), runs("narrow", 50.0)


def test_runs_are_compared_by_their_final_scores_in_python_and_by_the_command(groups, capsys):
    found = compare_runs(*groups)
    assert found and found.difference == differ([99.5, 100.5, 101.5], [49.5, 50.5, 51.5])
    assert found.scores[0] == {str(path): 99.5 + seed for seed, path in enumerate(groups[0])}
    assert main(["compare", *map(str, groups[0]), "--", *map(str, groups[1])]) == 0
    printed = capsys.readouterr().out
    assert printed == f"{found}\n" and "they differ (welch test" in printed
    assert (
        main(["compare", "--test", "permutation", "--alpha", "0.5", *map(str, groups[0]), "--", *map(str, groups[1])])
        == 0
    )
    assert "permutation test" in capsys.readouterr().out


def test_what_cannot_be_compared_is_told(groups, tmp_path, capsys):
    other = make_run(tmp_path / "other", {}, env_name="Other-v0", scores={"final": [1.0]})
    unscored = make_run(tmp_path / "unscored", {})
    for first, second, text in (
        ([groups[0][0], other], groups[1], "scores of one environment.*Some-v0 and Other-v0"),
        ([groups[0][0], unscored], groups[1], "unscored has no final score yet: workspace-rl evaluate"),
        (groups[0][0], groups[1], "first: at least two values"),
        (groups[0], groups[0], "is in both groups"),
        ([3], groups[1], "folders of runs.*int found"),
    ):
        with pytest.raises(ConfigError, match=text):
            compare_runs(first, second)
    for arguments in (["a", "b"], ["a", "--", "b", "--", "c"]):
        assert main(["compare", *arguments]) == 1
        assert "two groups of runs expected, with one -- between them" in capsys.readouterr().err
