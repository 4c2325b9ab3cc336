import inspect
import sys
import types

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.stats
import torch
from matplotlib import image

from workspace_rl import Agent, GymAgent, plots
from workspace_rl.compat.bbrl import stats
from workspace_rl.compat.bbrl.visu.common import describe, final_show
from workspace_rl.compat.bbrl.visu.plot_critics import plot_critic, plot_discrete_q
from workspace_rl.compat.bbrl.visu.plot_policies import plot_policy
from workspace_rl.errors import ConfigError, UnknownVariableError, VariableMismatchError


class SomeEnv(gym.Env):
    def __init__(self, action_space):
        self.observation_space = gym.spaces.Box(np.float32([-1, 0, -np.inf]), np.float32([3, 10, np.inf]))
        self.action_space = action_space
        self.spec = gym.envs.registration.EnvSpec("Some-v0", entry_point=SomeEnv)


CONTINUOUS = SomeEnv(gym.spaces.Box(-2, 2, (2,)))
DISCRETE = SomeEnv(gym.spaces.Discrete(3))


class Actor(Agent):
    def forward(self, t, factor=1.0, **kwargs):
        observations = self.get(("env/env_obs", t))
        self.set(("action", t), factor * torch.stack((observations[:, 0], observations[:, 1] / 10), dim=1))


class Critic(Agent):
    """A critic whose values are a function of the observations and the actions."""

    def __init__(self, function, is_q_function=None, kind="q"):
        super().__init__("critic")
        self.function, self.variable = function, f"critic/{kind}_values"
        if is_q_function is not None:
            self.is_q_function = is_q_function

    def forward(self, t, **kwargs):
        actions = self.get(("action", t)) if "action" in self.workspace else None
        self.set((self.variable, t), self.function(self.get(("env/env_obs", t)), actions))


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, by file name, besides being saved."""
    figures = {}

    def save(figure, path):
        figures[str(path)] = figure
        return plots_save(figure, path)

    plots_save = plots.save_figure
    monkeypatch.setattr(plots, "save_figure", save)
    return figures


@pytest.fixture
def shown(monkeypatch):
    """The figures that were shown."""
    figures = []
    monkeypatch.setattr(plt, "show", lambda: figures.append(plt.gcf()))
    return figures


def pixels(figure):
    return figure.axes[0].images[0].get_array()


def centres(low, high, n):
    return low + (np.arange(n) + 0.5) / n * (high - low)


# ---- pictures -----------------------------------------------------------------------------------------------------


def test_each_component_of_a_policy_has_its_file(tmp_path, drawn, shown):
    low = CONTINUOUS.observation_space.low.copy()
    directory = f"{tmp_path}/plots/"
    assert plot_policy(Actor(), CONTINUOUS, torch.tensor(-120.5), directory, definition=4, factor=2.0) is None
    folder = tmp_path / "plots" / "Some-v0_policies"
    names = [f"policy_Some-v0_dim_{dim}_-120.5.png" for dim in range(2)]
    assert sorted(one.name for one in folder.iterdir()) == names
    assert all(image.imread(folder / name).ndim == 3 for name in names)
    first, second = drawn.values()
    np.testing.assert_allclose(pixels(first)[0], 2 * centres(-1, 3, 4))
    np.testing.assert_allclose(pixels(second)[:, 0], 0.2 * centres(0, 10, 4), rtol=1e-6)
    assert first.axes[0].images[0].get_extent() == [-1, 3, 0, 10]
    assert first.get_suptitle() == "Some-v0 Actor (action dim: 0)"
    assert first.axes[0].get_title() == "fixed: observation[2] = 0"
    np.testing.assert_array_equal(CONTINUOUS.observation_space.low, low)
    assert not shown


def test_pictures_can_be_shown_instead_of_saved(tmp_path, drawn, shown):
    for plot, *arguments in (
        (plot_policy, Actor(), CONTINUOUS),
        (plot_critic, Critic(lambda o, a: o[:, 0], False, "v"), DISCRETE),
    ):
        plot(*arguments, 0, str(tmp_path), "name", True, False, 3)
    assert len(shown) == 3 and not drawn and not list(tmp_path.iterdir()) and plt.get_fignums() == []


def test_state_values(tmp_path, drawn):
    plot_critic(Critic(lambda o, a: o[:, 1], False, "v"), CONTINUOUS, 7, str(tmp_path), "Mine", definition=3)
    ((path, figure),) = drawn.items()
    assert path == f"{tmp_path}/Mine_critics/critic_Mine_7.png"
    np.testing.assert_allclose(pixels(figure)[:, 0], centres(0, 10, 3))
    assert figure.get_suptitle() == "Mine critic"
    with pytest.warns(UserWarning, match="input_action is ignored"):
        plot_critic(Critic(lambda o, a: o[:, 1], False, "v"), CONTINUOUS, 7, str(tmp_path), input_action=[1.0, 0.0])


@pytest.mark.parametrize("is_q_function", [True, None])
def test_values_of_a_continuous_action(tmp_path, drawn, is_q_function):
    critic = Critic(lambda o, a: (o[:, 0] + a[:, 1]).unsqueeze(1), is_q_function)
    plot_critic(critic, CONTINUOUS, 7, str(tmp_path), definition=3, input_action=[0, 5])
    np.testing.assert_allclose(pixels(drawn.popitem()[1])[0], centres(-1, 3, 3) + 5)


def test_a_continuous_q_function_without_an_action_is_shown_for_0(tmp_path, drawn):
    critic = Critic(lambda o, a: o[:, 0] + a[:, 1], True)
    with pytest.warns(UserWarning, match="input_action is not given: the values of action 0"):
        plot_critic(critic, CONTINUOUS, 7, str(tmp_path), definition=3)
    np.testing.assert_allclose(pixels(drawn.popitem()[1])[0], centres(-1, 3, 3))


@pytest.mark.parametrize(
    "input_action, value", [(None, lambda x: np.maximum(x, 1 - x)), (1, lambda x: 1 - x), ("policy", lambda x: x < 0.5)]
)
def test_discrete_values(tmp_path, drawn, input_action, value):
    critic = Critic(lambda o, a: torch.stack((o[:, 0], 1 - o[:, 0], o[:, 0] - 100), dim=1), True)
    plot_discrete_q(critic, DISCRETE, 7, str(tmp_path), definition=4, input_action=input_action)
    ((path, figure),) = drawn.items()
    assert path == f"{tmp_path}/Some-v0_critics/critic_Some-v0_7.png"
    np.testing.assert_allclose(pixels(figure)[2], value(centres(-1, 3, 4)))
    if input_action == "policy":
        assert figure.axes[0].images[0].colorbar.get_ticks().tolist() == [0, 1, 2]


def test_variables_have_the_names_that_are_given(tmp_path, drawn):
    class Renamed(Agent):
        def forward(self, t, **kwargs):
            self.set(("act", t), self.get(("obs", t))[:, :2])
            self.set(("value", t), self.get(("obs", t))[:, 2])

    names = {"var_name_obs": "obs", "var_name_action": "act"}
    plot_policy(Renamed(), CONTINUOUS, 7, str(tmp_path), definition=3, **names)
    plot_critic(Renamed(), CONTINUOUS, 7, str(tmp_path), definition=3, **names, var_name_value="value")
    assert len(drawn) == 3
    with pytest.raises(UnknownVariableError, match="'critic' did not write variable 'critic/q_values'.*v_values"):
        plot_critic(Critic(lambda o, a: o[:, 0], True, "v"), DISCRETE, 7, str(tmp_path))


def test_names_of_coordinates_come_from_the_space():
    env = SomeEnv(DISCRETE.action_space)
    env.observation_space.names = ["position", "speed"]
    _, options = describe(env, "name", 100, "obs", "action")
    assert options["names"] == ["position", "speed", "observation[2]"]


def test_the_environment_is_named_by_its_id():
    env = gym.make("CartPole-v1")
    agents = [GymAgent("CartPole-v1", 2), type("Agent", (), {"envs": [env]})()]
    for one in (env, *agents, *(gym.make_vec("CartPole-v1", 2, mode) for mode in ("sync", "vector_entry_point"))):
        one.observation_space = env.observation_space
        assert describe(one, None, 100, "obs", "action")[0] == "CartPole-v1"


def test_final_show_labels_saves_and_closes_the_current_figure(tmp_path, shown):
    figure, axes = plt.subplots()
    final_show(True, True, str(tmp_path / "new/"), "figure.png", "x", "y", "title")
    assert (tmp_path / "new" / "figure.png").exists() and shown == [figure] and plt.get_fignums() == []
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("x", "y", "title")


# ---- statistics ---------------------------------------------------------------------------------------------------

TESTS = ["WelchTTest", "TTest", "BootstrapTest", "MannWhitneyTest", "RankedTTest", "PermutationTest"]


def samples(shift, n=8, m=8):
    """Two samples that are spread evenly around 0 and around `shift`."""
    return np.linspace(-1, 1, n), shift + np.linspace(-1.5, 1.5, m)


@pytest.mark.parametrize("name", TESTS)
def test_samples_far_apart_differ_and_others_do_not(name):
    np.random.seed(1)
    test = getattr(stats, name)()
    near, far = samples(0.1), samples(4.0, n=7)
    assert test.run_test(*far, alpha=0.01) is True and test.run_test(*near, 0.01) is False
    tensors = [torch.tensor(sample, dtype=torch.float32, requires_grad=True) for sample in far]
    assert test.run_test(*tensors) is True


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0, 2.0])
def test_p_values_are_those_of_scipy(shift):
    a, b = samples(shift, n=6, m=9)
    ranks = scipy.stats.rankdata(np.concatenate([a, b]))
    for test, result in (
        (stats.WelchTTest, scipy.stats.ttest_ind(a, b, equal_var=False)),
        (stats.TTest, scipy.stats.ttest_ind(a, b)),
        (stats.MannWhitneyTest, scipy.stats.mannwhitneyu(a, b)),
        (stats.RankedTTest, scipy.stats.ttest_ind(ranks[:6], ranks[6:])),
    ):
        assert test().run_test(a, b, result.pvalue * 1.001) and not test().run_test(a, b, result.pvalue * 0.999)


def test_p_values_of_permutations_are_exact_where_there_are_few():
    a, b = np.array([0.0, 1.0, 2.0]), np.array([3.0, 4.0, 5.0])
    # 2 of the 20 ways to divide the six numbers differ as much: the given one, and its mirror image.
    test = stats.PermutationTest()
    assert test.run_test(a, b, 0.101) and not test.run_test(a, b, 0.099)


@pytest.mark.parametrize("name", ["BootstrapTest", "PermutationTest"])
def test_random_tests_are_repeated_by_numpys_seed(name):
    test, results = getattr(stats, name)(), []
    for _ in range(2):
        np.random.seed(5)
        results.append([test.run_test(*samples(shift), 0.05) for shift in np.linspace(0.5, 1.5, 40)])
    assert results[0] == results[1] and set(results[0]) == {False, True}


@pytest.mark.parametrize("name", ["BootstrapTest", "PermutationTest", "MannWhitneyTest"])
def test_equal_samples_do_not_differ(name):
    assert getattr(stats, name)().run_test(np.full(5, 500.0), np.full(5, 500.0)) is False


def test_middle_and_error():
    sample = torch.tensor([[1.0, 2.0, 3.0, 10.0], [5.0, 5.0, 5.0, float("nan")]])
    central, low, high = stats.compute_central_tendency_and_error("mean", "sem", sample)
    np.testing.assert_allclose(central, [4, 5])
    error = scipy.stats.sem([1, 2, 3, 10])  # over the root of four seeds, not of two steps
    np.testing.assert_allclose(high - central, [error, 0])
    np.testing.assert_allclose(low, [4 - error, 5])
    _, low, high = stats.compute_central_tendency_and_error("mean", "sem", sample[:, :1])
    assert np.isnan([low, high]).all()  # one seed says nothing of the next one
    deviation = np.std([1, 2, 3, 10])
    central, low, high = stats.compute_central_tendency_and_error("median", "std", sample)
    np.testing.assert_allclose([central, high], [[2.5, 5], [2.5 + deviation, 5]])
    for error in (95, "95", 95.0):
        _, low, high = stats.compute_central_tendency_and_error("median", error, sample[:1])
        np.testing.assert_allclose([*low, *high], np.percentile([1, 2, 3, 10], [2.5, 97.5]))
    with pytest.raises(ConfigError, match="'mean' or 'median' expected, 'mode' found"):
        stats.compute_central_tendency_and_error("mode", 80, sample)


def test_learning_curves_are_drawn_with_dots_where_they_differ(tmp_path, monkeypatch, shown):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(12, 8)), rng.normal(size=(20, 6))
    second[10:] += 8
    second[5, 0] = np.nan
    stats.WelchTTest().plot(torch.tensor(first), second, 100, legends="ddpg/td3", xlabel="epochs")
    (figure,) = shown
    (axes,) = figure.axes
    one, other = axes.lines
    np.testing.assert_allclose(one.get_xydata(), np.stack(([0, 500, 1000], np.median(first[::5], axis=1)), axis=1))
    np.testing.assert_allclose(other.get_xdata(), [0, 500, 1000, 1500])
    np.testing.assert_allclose(other.get_ydata(), np.nanmedian(second[::5], axis=1))
    bands, dots = axes.collections[:2], axes.collections[2]
    np.testing.assert_allclose(
        bands[0].get_paths()[0].vertices[:, 1].max(), np.percentile(first[::5], 90, axis=1).max()
    )
    assert dots.get_offsets()[:, 0].tolist() == [1000]  # where both have a value, and differ
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["ddpg", "td3", "differ (alpha 0.01)"]
    assert axes.get_xlabel() == "epochs" and axes.get_ylabel() == "performance"
    assert image.imread(tmp_path / "plot.png").ndim == 3
    (tmp_path / "plot.png").unlink()
    stats.TTest().plot(first, second, save=False, downsampling_fact=1, id_central="mean", id_error="sem")
    assert len(shown) == 2 and not list(tmp_path.iterdir())
    with pytest.raises(VariableMismatchError, match=r"dimension 2 \(n_steps, n_seeds\) expected, \(3,\) and \(4, 6\)"):
        stats.TTest().plot(first[:, 0], second)


# ---- the original -------------------------------------------------------------------------------------------------


@pytest.fixture
def real_stats(real, monkeypatch):
    """BBRL's statistics, without a package that it imports for the bootstrap and that few have installed."""
    bootstrapped = types.ModuleType("bootstrapped")
    monkeypatch.setitem(sys.modules, "bootstrapped", bootstrapped)
    for name in ("bootstrap", "compare_functions", "stats_functions"):
        setattr(bootstrapped, name, types.ModuleType(name))
        monkeypatch.setitem(sys.modules, f"bootstrapped.{name}", getattr(bootstrapped, name))
    return real.module("stats")


def parameters(function):
    return [(one.name, one.default) for one in inspect.signature(function).parameters.values()]


def test_signatures_are_those_of_bbrl(real, real_stats):
    critics, policies = (real.module(f"visu.plot_{name}") for name in ("critics", "policies"))
    for original, ours in (
        (policies.plot_policy, plot_policy),
        (critics.plot_critic, plot_critic),
        (critics.plot_discrete_q, plot_discrete_q),
        (real.module("visu.common").final_show, final_show),
        (real_stats.Test.plot, stats.Test.plot),
        (real_stats.Test.run_test, stats.Test.run_test),
        (real_stats.compute_central_tendency_and_error, stats.compute_central_tendency_and_error),
    ):
        assert parameters(ours) == parameters(original)


@pytest.mark.parametrize("name", ["WelchTTest", "TTest", "MannWhitneyTest", "RankedTTest", "PermutationTest"])
def test_samples_differ_where_bbrl_says_so(real_stats, name):
    np.random.seed(2)
    original, test = getattr(real_stats, name)(), getattr(stats, name)()
    for shift in (0, 0.2, 2.5, -3):
        for alpha in (0.01, 0.05):
            assert test.run_test(*samples(shift, 9, 7), alpha) == original.run_test(*samples(shift, 9, 7), alpha)


@pytest.mark.parametrize("id_central", ["mean", "median"])
@pytest.mark.parametrize("id_error", ["std", 80, "50"])
def test_middle_and_error_are_those_of_bbrl(real_stats, id_central, id_error):
    sample = np.random.default_rng(0).normal(size=(5, 8))
    expected = real_stats.compute_central_tendency_and_error(id_central, id_error, sample)
    np.testing.assert_allclose(stats.compute_central_tendency_and_error(id_central, id_error, sample), expected)


def test_without_scipy_the_way_to_install_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r'pip install --editable ".*\[plots\]"'):
        stats.WelchTTest().run_test([1, 2], [3, 4])
