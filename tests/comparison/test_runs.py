"""Whether groups of runs differ: by Python and by the command line."""

import pytest

from tests.run_folders import make_run
from workspace_rl.cli import main
from workspace_rl.comparison import compare_runs, differ
from workspace_rl.errors import ConfigError


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
