"""Whether two samples differ."""

import numpy as np
import pytest
import scipy.stats

from workspace_rl.comparison import differ
from workspace_rl.comparison.difference import TESTS
from workspace_rl.errors import ConfigError


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
