import numpy as np
import pytest

from tests.run_folders import make_run
from workspace_rl.errors import ConfigError, RunFolderError
from workspace_rl.evaluation.intervals import bootstrap_interval
from workspace_rl.plots import learning_curves, loss_curves, save_figure
from workspace_rl.runs.run import Run

RETURN = "eval/return_mean"


def curve(values, steps=None):
    steps = range(100, 100 * len(values) + 1, 100) if steps is None else steps
    return list(zip(steps, map(float, values), strict=True))


def thick(axes):
    return [line for line in axes.get_lines() if line.get_linewidth() > 1]


def band(axes):
    (path,) = axes.collections[0].get_paths()
    return path.get_extents()


def texts(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_a_line_is_the_interquartile_mean_of_its_seeds_and_the_band_its_interval(tmp_path):
    values = np.array([[1, 2], [3, 4], [5, 6], [99, -99]])
    runs = [make_run(tmp_path / str(k), {RETURN: curve(row)}, seed=k) for k, row in enumerate(values)]
    figure = learning_curves(runs)
    (axes,) = figure.axes
    (line,) = thick(axes)
    assert line.get_xdata().tolist() == [100, 200] and line.get_ydata().tolist() == [4, 3]
    assert len(axes.get_lines()) == 5  # the runs are thin lines
    low, high = bootstrap_interval([values])
    assert band(axes).y0 == pytest.approx(low.min()) and band(axes).y1 == pytest.approx(high.max())
    assert texts(figure) == ["sac (4 runs)"]
    assert len(learning_curves(runs, show_runs=False).axes[0].get_lines()) == 1


def test_runs_that_were_measured_at_other_steps_are_compared_where_all_have_been(tmp_path):
    a = make_run(tmp_path / "a", {RETURN: [(0, 0.0), (100, 100.0)]}, seed=1)
    b = make_run(tmp_path / "b", {RETURN: [(50, 50.0), (70, 70.0), (300, 300.0)]}, seed=2)
    (line,) = thick(learning_curves([a, b]).axes[0])
    assert (line.get_xdata()[0], line.get_xdata()[-1]) == (50, 100)
    assert np.allclose(line.get_ydata(), line.get_xdata())
    c = make_run(tmp_path / "c", {RETURN: [(200, 1.0), (300, 1.0)]}, seed=3)
    assert not thick(learning_curves([a, c]).axes[0])  # nothing in common: only the runs themselves


def test_configurations_are_lines_and_environments_and_metrics_are_panels(tmp_path):
    metrics = {RETURN: curve([1, 2]), "loss/actor": curve([3, 1])}
    runs = [
        make_run(tmp_path / f"{env}{tau}", metrics, env_name=env, tau=tau) for env in ("A-v0", "B-v0") for tau in (1, 2)
    ]
    figure = learning_curves(runs, [RETURN, "loss/*"])
    assert len(learning_curves(runs, "loss/*").axes) == len(learning_curves(runs, ["loss/*"]).axes) < len(figure.axes)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [f"{env}: {name}" for name in (RETURN, "loss/actor") for env in ("A-v0", "B-v0")]
    assert [axes.get_subplotspec().get_geometry()[1] for axes in figure.axes] == [2] * 4  # the environments' columns
    assert all(len(thick(axes)) == 2 for axes in figure.axes)
    assert texts(figure) == ["sac, tau=1 (1 run)", "sac, tau=2 (1 run)"]  # in each panel
    assert len(learning_curves({"mine": runs}).axes[0].get_lines()) == 3  # two runs and their mean


def test_normalised_scores_of_several_environments_are_one_line_whose_strata_they_are(tmp_path):
    scores = {"A-v0": [100, 300], "B-v0": [-4, -2]}
    runs = [
        make_run(tmp_path / f"{env}{k}", {RETURN: curve([value])}, env_name=env, seed=k)
        for env, values in scores.items()
        for k, value in enumerate(values)
    ]
    figure = learning_curves(runs, normalise={"A-v0": (0, 400), "B-v0": (-5, -1)})
    (line,) = thick(figure.axes[0])
    assert line.get_ydata() == pytest.approx([0.5]) and texts(figure) == ["sac (4 runs)"]
    with pytest.raises(ConfigError, match="the scores that count as 0 and as 1 expected for 'B-v0'"):
        learning_curves(runs, normalise={"A-v0": (0, 1)})
    with pytest.raises(ConfigError, match="low < high expected"):
        learning_curves(runs, normalise={"A-v0": (1, 1), "B-v0": (0, 1)})


def test_what_is_not_finite_is_left_out(tmp_path):
    run = make_run(tmp_path / "a", {"x": curve([1, np.nan, np.inf, 2]), "y": curve([np.nan])})
    (line,) = learning_curves([run], ["x"]).axes[0].get_lines()
    assert line.get_ydata().tolist() == [1, 2]
    assert [axes.get_title() for axes in learning_curves([run], ["*"]).axes] == ["x"]
    with pytest.raises(ConfigError, match="no finite value"):
        learning_curves([run], ["y"])


def test_losses_over_decades_are_drawn_on_a_logarithmic_axis(tmp_path):
    metrics = {"loss/critic": curve([1000, 1]), "loss/actor": curve([-1, 1000]), "gradient_norm/actor": curve([1, 2])}
    figure = loss_curves([make_run(tmp_path / "a", {**metrics, RETURN: curve([1, 1000])})])
    scales = {axes.get_title(): axes.get_yscale() for axes in figure.axes}
    assert scales == {"loss/actor": "linear", "loss/critic": "log", "gradient_norm/actor": "linear"}


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_names_of_strangers_are_drawn_as_they_are(tmp_path, ending):
    name = r"$\frac{1}$ </svg><script>alert(1)</script>"
    runs = [make_run(tmp_path / str(k), {name: curve([1, 2])}, env_name="$^$", algo="_$x$", tau=k) for k in range(2)]
    path = save_figure(learning_curves(runs, [name]), tmp_path / f"figure.{ending}")
    assert b"<script" not in path.read_bytes()


def test_what_cannot_be_drawn_is_told(tmp_path):
    run = make_run(tmp_path / "a", {RETURN: curve([1])})
    with pytest.raises(ConfigError, match=r"the runs have no 'eval/return_men'. Did you mean 'eval/return_mean'\?"):
        learning_curves([run], ["eval/return_men"])
    with pytest.raises(ConfigError, match="They have measured nothing yet"):
        learning_curves([make_run(tmp_path / "b", {})])
    with pytest.raises(RunFolderError, match="is not the folder of a run"):
        learning_curves([tmp_path])
    many = make_run(tmp_path / "c", {f"x{k}": curve([1]) for k in range(49)})
    with pytest.raises(ConfigError, match="at most 48 panels can be seen at once, 49 asked for"):
        learning_curves([many], ["*"])


def test_one_run_may_be_given_as_it_is(tmp_path):
    path = make_run(
        tmp_path / "run", {"eval/return_mean": [(0, 1.0), (10, 2.0)]}, env_name="Pendulum-v1", total_steps=20_000
    )
    for runs in (path, str(path), Run(path), [Run(path)], iter([path]), {"mine": path}, {"mine": Run(path)}):
        (axes,) = learning_curves(runs).axes
        assert [line.get_xydata().tolist() for line in axes.lines] == [[[0, 1], [10, 2]]]
    for wrong in (3, [3], None):
        with pytest.raises(ConfigError, match="folders of runs, or Run"):
            learning_curves(wrong)
