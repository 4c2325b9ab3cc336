import random
import subprocess
import sys
import types
from importlib.metadata import packages_distributions

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from tests.toys import SummingAgent
from workspace_rl import Agent, Agents
from workspace_rl.agents import ContinuousQAgent, DeterministicActor, DiscreteQAgent, GreedyAgent, SquashedGaussianActor
from workspace_rl.errors import (
    CompositionError,
    ConfigError,
    MissingDependencyError,
    RenderingError,
    RunFolderError,
    UnknownVariableError,
    UnsupportedSpaceError,
    VariableMismatchError,
)
from workspace_rl.plots import critic_map, policy_map, save_figure, show_figure

#: Four coordinates with different bounds; two have none, one of them with float32's greatest number instead.
SPACE = gym.spaces.Box(
    np.array([-1, 0, -np.inf, -np.finfo(np.float32).max], np.float32),
    np.array([3, 10, np.inf, np.finfo(np.float32).max], np.float32),
)


class Seen(types.SimpleNamespace):
    """What a copy of an agent was given: all copies share it."""

    def __deepcopy__(self, memo):
        return self


class Formula(Agent):
    """Writes a function of the observations (`[B, size]`); `seen` is what its copy was given."""

    def __init__(self, function, variable="action"):
        super().__init__()
        self.function, self.variable, self.seen = function, variable, Seen()

    def forward(self, t, **kwargs):
        self.seen.observations = self.get(("env/env_obs", t))
        self.seen.kwargs = kwargs
        self.set((self.variable, t), self.function(self.seen.observations))


class Judge(Agent):
    """A continuous Q(s, a), or an ensemble of them: the first coordinate times the first component of the action."""

    def __init__(self, n=1):
        super().__init__()
        self.n = n

    def forward(self, t, **kwargs):
        value = self.get(("env/env_obs", t))[:, :1] * self.get(("action", t))[:, :1]
        self.set(("q", t), value.squeeze(1) if self.n == 1 else value + torch.arange(3.0, 3.0 + self.n))


def pixels(figure):
    return figure.axes[0].images[0].get_array()


def centres(low, high, n):
    return low + (np.arange(n) + 0.5) / n * (high - low)


# ---- where things are ---------------------------------------------------------------------------------------------


def test_x_runs_to_the_right_and_y_upwards():
    figure = policy_map(Formula(lambda o: o[:, 0] + 100 * o[:, 1]), SPACE, resolution=7)
    image = figure.axes[0].images[0]
    assert image.origin == "lower" and image.get_extent() == [-1, 3, 0, 10]
    assert figure.axes[0].get_xlim() == (-1, 3) and figure.axes[0].get_ylim() == (0, 10)
    expected = centres(-1, 3, 7)[None, :] + 100 * centres(0, 10, 7)[:, None]
    np.testing.assert_allclose(pixels(figure), expected, rtol=1e-6)


def test_a_drawn_picture_is_brightest_at_the_top_right(tmp_path):
    from matplotlib import image

    figure = critic_map(Formula(lambda o: o[:, 0] * o[:, 1], "v"), gym.spaces.Box(0, 1, (2,)), value_variable="v")
    picture = image.imread(save_figure(figure, tmp_path / "v.png"))
    height = picture.shape[0]
    box = figure.axes[0].get_position()
    left, right = (round(picture.shape[1] * x) for x in (box.x0 + 0.02, box.x1 - 0.02))
    bottom, top = (round(height * (1 - y)) for y in (box.y0 + 0.02, box.y1 - 0.02))
    assert picture[top, right, :2].tolist() == pytest.approx([0.95, 0.88], abs=0.06)  # viridis ends in yellow
    for dark in (picture[top, left], picture[bottom, left], picture[bottom, right]):
        assert dark[:3].tolist() == pytest.approx([0.27, 0.0, 0.33], abs=0.06)


def test_the_axes_are_chosen_by_index_in_their_order():
    figure = policy_map(Formula(lambda o: o[:, 3] + 100 * o[:, 1]), SPACE, axes=(3, 1), resolution=4)
    np.testing.assert_allclose(pixels(figure), centres(-1, 1, 4)[None, :] + 100 * centres(0, 10, 4)[:, None], rtol=1e-6)
    assert figure.axes[0].get_ylabel() == "observation[1]"


def test_the_other_coordinates_are_fixed_and_named():
    agent = Formula(lambda o: o[:, 0])
    figure = policy_map(agent, SPACE, axes=(1, 2), names=["x", "speed", "y", "z"], fixed={3: -2.5, 1: 7}, resolution=5)
    assert agent.seen.observations.shape == (25, 4)
    assert agent.seen.observations[:, 0].unique().tolist() == [1.0]  # the middle of -1 and 3
    assert agent.seen.observations[:, 3].unique().tolist() == [-2.5]
    assert len(agent.seen.observations[:, 1].unique()) == 5  # shown, though there is a value for when it is not
    assert figure.axes[0].get_title() == "fixed: x = 1, z = -2.5"
    assert figure.axes[0].get_xlabel() == "speed"


@pytest.mark.parametrize(
    "low, high, shown, value",
    [
        (-np.inf, np.inf, (-1, 1), 0),
        (-3e38, 3e38, (-1, 1), 0),
        (5, np.inf, (5, 7), 5),
        (-4, np.inf, (-4, -2), 0),
        (-np.inf, -3, (-5, -3), -3),
        (2, 2, (1, 3), 2),
    ],
)
def test_bounds_that_are_infinite_are_replaced(low, high, shown, value):
    space = gym.spaces.Box(np.array([low, 0], np.float32), np.array([high, 1], np.float32))
    agent = Formula(lambda o: o[:, 0])
    figure = policy_map(agent, space, resolution=3)
    assert figure.axes[0].get_xlim() == shown
    unbounded = "" if low == high else f" (unbounded, shown from {shown[0]} to {shown[1]})"
    assert figure.axes[0].get_xlabel() == f"observation[0]{unbounded}"
    policy_map(agent, space, axes=(1,), resolution=3)
    assert agent.seen.observations[:, 0].unique().tolist() == [value]


def test_a_chosen_range_is_shown_without_a_remark():
    figure = policy_map(Formula(lambda o: o[:, 0]), SPACE, axes=(2, 0), ranges={2: (-3, 4.5), 1: (0, 1)}, resolution=3)
    assert figure.axes[0].images[0].get_extent() == [-3, 4.5, -1, 3]
    assert figure.axes[0].get_xlabel() == "observation[2]"


def test_many_coordinates_are_not_all_named():
    space = gym.spaces.Box(-1, 1, (50,))
    plain = policy_map(Formula(lambda o: o[:, 0]), space, resolution=3)
    assert plain.axes[0].get_title() == "fixed: 48 coordinates"
    chosen = policy_map(Formula(lambda o: o[:, 0]), space, resolution=3, fixed={7: 0.25, 9: 0.5})
    assert chosen.axes[0].get_title() == "fixed: observation[7] = 0.25, observation[9] = 0.5, 46 more"


@pytest.mark.parametrize("space, axes", [(gym.spaces.Box(-2, 4, (1,)), None), (gym.spaces.Box(-2, 4, (3,)), (1,))])
def test_one_coordinate_makes_a_line(space, axes):
    column = 0 if axes is None else 1
    figure = policy_map(Formula(lambda o: o[:, column] / 4), space, axes=axes, resolution=7)
    (line,) = figure.axes[0].lines
    np.testing.assert_allclose(line.get_xdata(), np.linspace(-2, 4, 7))
    np.testing.assert_allclose(line.get_ydata(), np.linspace(-2, 4, 7) / 4)
    assert figure.axes[0].get_xlabel() == f"observation[{column}]" and figure.axes[0].get_ylabel() == "action"
    assert figure.axes[0].get_title() == ("" if axes is None else "fixed: observation[0] = 1, observation[2] = 1")


def test_observations_have_the_dtype_that_environments_write():
    for dtype, expected in ((np.float64, torch.float32), (np.float32, torch.float32), (np.float16, torch.float16)):
        agent = Formula(lambda o: o[:, 0])
        policy_map(agent, gym.spaces.Box(-1, 1, (2,), dtype), resolution=3)
        assert agent.seen.observations.dtype == expected


# ---- actions ------------------------------------------------------------------------------------------------------


def test_components_of_an_action_are_drawn_one_by_one():
    agent = Formula(lambda o: torch.stack((o[:, 0], -o[:, 1] / 10), dim=1))
    figure = policy_map(agent, SPACE, action_index=1, resolution=3, title="Reacher")
    np.testing.assert_allclose(pixels(figure), -np.tile(centres(0, 1, 3)[:, None], 3), rtol=1e-6)
    assert figure.axes[1].get_ylabel() == "action[1]" and figure.get_suptitle() == "Reacher"


def test_discrete_actions_have_a_colour_and_a_tick_each():
    agent = Formula(lambda o: (o[:, 0] > 1).long())
    for n_actions, ticks in ((None, [0, 1]), (4, [0, 1, 2, 3])):
        figure = policy_map(agent, SPACE, resolution=4, n_actions=n_actions)
        image = figure.axes[0].images[0]
        assert pixels(figure)[0].tolist() == [0, 0, 1, 1]
        assert image.colorbar.get_ticks().tolist() == ticks and len(image.colorbar.ax.get_yticks(minor=True)) == 0
        assert len({tuple(image.cmap(image.norm(tick))) for tick in ticks}) == len(ticks)
    line = policy_map(agent, SPACE, axes=(0,), resolution=4)
    assert line.axes[0].get_yticks().tolist() == [0, 1]


def test_very_many_actions_have_fewer_ticks():
    figure = policy_map(Formula(lambda o: (50 * o[:, 1]).long()), SPACE, resolution=50)
    assert figure.axes[0].images[0].colorbar.get_ticks().size < 60


@pytest.mark.parametrize(
    "scale, shift, colours, limits",
    [
        (0.5, 0, "RdBu_r", (-1, 1)),
        (0.1, 0.5, "RdBu_r", (-1, 1)),  # within [-1, 1], where actions live
        (2, 0, "RdBu_r", (-1.5, 1.5)),
        (1, 5, "viridis", (4.25, 5.75)),
    ],
)
def test_actions_of_both_signs_are_coloured_around_0(scale, shift, colours, limits):
    figure = policy_map(Formula(lambda o: scale * o[:, 0] + shift), gym.spaces.Box(-1, 1, (2,)), resolution=4)
    image = figure.axes[0].images[0]
    assert image.cmap.name == colours and image.norm.vmin == pytest.approx(limits[0])
    assert image.norm.vmax == pytest.approx(limits[1])


# ---- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", [False, True])
def test_state_values(column):
    agent = Formula(lambda o: o[:, :1] if column else o[:, 0], "critic/v_values")
    figure = critic_map(agent, SPACE, value_variable="critic/v_values", resolution=3)
    np.testing.assert_allclose(pixels(figure), np.tile(centres(-1, 3, 3), (3, 1)), rtol=1e-6)
    assert figure.axes[1].get_ylabel() == "critic/v_values" and figure.get_suptitle() == "Critic"


def test_discrete_action_values():
    critic = Formula(lambda o: torch.stack((o[:, 0], 1 - o[:, 0]), dim=1), "q")
    x = centres(-1, 3, 4)
    policy = Formula(lambda o: (o[:, 1] > 5).long())
    draw = {"value_variable": "q", "resolution": 4}
    best = critic_map(critic, SPACE, **draw)
    second = critic_map(critic, SPACE, **draw, action=np.int64(1))
    chosen = critic_map(critic, SPACE, **draw, policy=policy)
    np.testing.assert_allclose(pixels(best)[0], np.maximum(x, 1 - x))
    np.testing.assert_allclose(pixels(second)[0], 1 - x)
    np.testing.assert_allclose(pixels(chosen), [x, x, 1 - x, 1 - x])
    several = Formula(
        lambda o: torch.stack((o[:, 0], 1 - o[:, 0]), 1).unsqueeze(-1) + torch.tensor([2.0, 0.0, 1.0]), "q"
    )
    for options, of_one in (({}, best), ({"action": 1}, second), ({"policy": policy}, chosen)):
        np.testing.assert_allclose(pixels(critic_map(several, SPACE, **draw, **options)), pixels(of_one))
    labels = [figure.axes[1].get_ylabel() for figure in (best, second, chosen)]
    assert labels == ["q of the best action", "q of action 1", "q of the policy's action"]


@pytest.mark.parametrize("n", [1, 2])
def test_continuous_action_values(n):
    x, y = centres(-1, 3, 4), centres(0, 10, 4)
    offset, note = (0, "") if n == 1 else (3, ", least of 2 critics")
    draw = {"value_variable": "q", "resolution": 4}
    fixed = critic_map(Judge(n), SPACE, **draw, action=[0.5, -1])
    chosen = critic_map(Judge(n), SPACE, **draw, policy=Formula(lambda o: o[:, 1:2]))
    np.testing.assert_allclose(pixels(fixed)[2], 0.5 * x + offset)
    np.testing.assert_allclose(pixels(chosen), y[:, None] * x[None, :] + offset)
    assert fixed.axes[1].get_ylabel() == f"q of action [0.5, -1]{note}"
    assert chosen.axes[1].get_ylabel() == f"q of the policy's action{note}"


def test_arguments_reach_the_agents():
    critic, policy = Formula(lambda o: o[:, 0], "v"), Formula(lambda o: o[:, :1])
    critic_map(critic, SPACE, value_variable="v", policy=policy, resolution=2, stochastic=False)
    assert critic.seen.kwargs == policy.seen.kwargs == {"stochastic": False}


def test_agents_of_the_library():
    space = gym.spaces.Box(-1, 1, (3,))
    critic, q_agent = ContinuousQAgent(3, [8], 2), DiscreteQAgent([3], [8], 4)
    policy_map(DeterministicActor(3, [8], 2), space, action_index=1, resolution=3)
    policy_map(Agents(q_agent, GreedyAgent()), space, resolution=3, n_actions=4)
    critic_map(q_agent, space, value_variable="q/q_values", resolution=3)
    critic_map(critic, space, value_variable="critic/q_values", policy=SquashedGaussianActor(3, [8], 2), resolution=3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_agents_on_a_gpu():
    critic, policy = ContinuousQAgent(4, [8], 1).cuda(), DeterministicActor(4, [8], 1).cuda()
    policy_map(policy, SPACE, resolution=3)
    critic_map(critic, SPACE, value_variable="critic/q_values", policy=policy, resolution=3)
    critic_map(critic, SPACE, value_variable="critic/q_values", action=[0.5], resolution=3)
    critic_map(DiscreteQAgent([4], [8], 2).cuda(), SPACE, value_variable="q/q_values", action=1, resolution=3)


class Foreign(nn.Module):
    """An agent that knows nothing of this library but how it is called."""

    def __init__(self):
        super().__init__()
        self.model = nn.Linear(4, 1)

    def __call__(self, workspace, t, **kwargs):
        workspace.set("action", t, self.model(workspace.get("env/env_obs", t)))


def test_agents_need_not_be_of_this_library():
    agent = Foreign()
    figure = policy_map(agent, SPACE, resolution=3)
    expected = agent.model(torch.tensor([1.0, 5.0, 0.0, 0.0])).item()
    assert pixels(figure)[1, 1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.skipif("bbrl" not in packages_distributions(), reason="BBRL is not installed")
def test_agents_of_bbrl(tmp_path):
    program = (
        "import gymnasium as gym, numpy as np, torch\n"
        "from bbrl.agents import Agent, Agents, KWAgentWrapper\n"
        "from workspace_rl.plots import critic_map, policy_map\n"
        "class Actor(Agent):\n"
        "    def forward(self, t, scale=1, **kwargs):\n"
        "        self.set(('action', t), scale * self.get(('env/env_obs', t))[:, :1])\n"
        "class Critic(Agent):\n"
        "    def forward(self, t, **kwargs):\n"
        "        self.set(('critic/q', t), self.get(('action', t)).squeeze(-1))\n"
        "space = gym.spaces.Box(-1, 1, (2,))\n"
        "actor = Agents(KWAgentWrapper(Actor('actor'), scale=2))\n"
        "for figure in (policy_map(actor, space, resolution=2),\n"
        "               critic_map(Critic('c'), space, value_variable='critic/q', policy=actor, resolution=2)):\n"
        "    print(figure.axes[0].images[0].get_array().tolist())\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert run.stdout.splitlines() == ["[[-1.0, 1.0], [-1.0, 1.0]]"] * 2


# ---- what is left alone -------------------------------------------------------------------------------------------


def test_the_space_stays_as_it_is():
    low, high = SPACE.low.copy(), SPACE.high.copy()
    policy_map(Formula(lambda o: o[:, 0]), SPACE, ranges={2: (-3, 3)}, fixed={3: 1}, resolution=3)
    np.testing.assert_array_equal(SPACE.low, low)
    np.testing.assert_array_equal(SPACE.high, high)


def test_random_numbers_are_those_of_the_picture_only():
    actor = SquashedGaussianActor(4, [8], 1)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first, second = (pixels(policy_map(actor, SPACE, resolution=5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first)) == 25
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[2]
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])


def test_agents_are_drawn_in_evaluation_mode_and_given_back():
    agent = Formula(nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1)))
    agent.function[1].eval()
    before = [value.clone() for value in agent.state_dict().values()]
    first = pixels(policy_map(agent, SPACE, resolution=4))
    assert all(torch.equal(*pair) for pair in zip(before, agent.state_dict().values(), strict=True))
    assert [part.training for part in agent.function] == [True, False, True] and agent.training
    assert all(parameter.grad is None for parameter in agent.parameters()) and agent.workspace is None
    np.testing.assert_array_equal(first, pixels(policy_map(agent, SPACE, resolution=4)))
    with pytest.raises(UnknownVariableError):
        policy_map(agent, SPACE, resolution=4, action_variable="a")
    assert agent.training


def test_pyplot_is_left_alone(tmp_path):
    program = (
        "import sys, gymnasium as gym\n"
        "from workspace_rl.agents import DeterministicActor\n"
        "from workspace_rl.plots import policy_map, save_figure\n"
        "assert 'matplotlib' not in sys.modules\n"
        "save_figure(policy_map(DeterministicActor(2, [4], 1), gym.spaces.Box(-1, 1, (2,)), resolution=3), 'a.png')\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, cwd=tmp_path)
    assert (tmp_path / "a.png").exists()


# ---- files and windows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix, start", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_figures_are_saved_whole(tmp_path, suffix, start):
    figure = policy_map(Formula(lambda o: o[:, 0]), SPACE, resolution=3)
    path = save_figure(figure, str(tmp_path / "new folder" / f"map.{suffix}"))
    assert path.read_bytes().startswith(start)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, 3.0])
def test_values_that_are_not_finite_or_all_the_same_can_be_drawn(tmp_path, value):
    for function in (lambda o: 0 * o[:, 0] + value, lambda o: torch.where(o[:, 0] > 1, o[:, 0], value)):
        agent = Formula(function)
        save_figure(policy_map(agent, SPACE, resolution=4), tmp_path / "a.png")
        save_figure(critic_map(agent, SPACE, value_variable="action", resolution=4), tmp_path / "b.png")
        save_figure(critic_map(agent, SPACE, value_variable="action", axes=(0,), resolution=4), tmp_path / "c.png")


def test_figures_that_cannot_be_saved(tmp_path):
    figure = policy_map(Formula(lambda o: o[:, 0]), SPACE, resolution=3)
    with pytest.raises(RenderingError, match=r"\.png, \.svg or \.pdf file, but '.*map\.jpeg' was asked for"):
        save_figure(figure, "map.jpeg")
    (tmp_path / "map.png").mkdir()
    with pytest.raises(RunFolderError, match="cannot be written"):
        save_figure(figure, tmp_path / "map.png")
    assert [one.name for one in tmp_path.iterdir()] == ["map.png"]


def test_a_figure_is_shown_by_pyplot_and_let_go(monkeypatch):
    import matplotlib.pyplot as plt

    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    figure = policy_map(Formula(lambda o: o[:, 0]), SPACE, resolution=3)
    for _ in range(2):
        show_figure(figure)
        assert plt.get_fignums() == []
    own = plt.figure()
    show_figure(own)
    assert shown == [figure, figure, own] and plt.get_fignums() == []


# ---- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"axes": (0, 4)}, r"axes: one or two different coordinates from 0 to 3 expected, \(0, 4\) found"),
        ({"axes": (-1, 0)}, r"\(-1, 0\) found"),
        ({"axes": (1, 1)}, r"\(1, 1\) found"),
        ({"axes": (0, 1, 2)}, r"\(0, 1, 2\) found"),
        ({"axes": ()}, r"\(\) found"),
        ({"axes": (0.5, 1)}, r"\(0.5, 1\) found"),
        ({"names": ["x", "y"]}, "names: 4 expected, one for each coordinate; 2 found"),
        ({"resolution": 1}, "resolution: a whole number of at least 2 expected, 1 found"),
        ({"resolution": 10.0}, "resolution"),
        ({"ranges": {0: (1, 1)}}, r"ranges: low < high expected for coordinate 0; 1, 1 found"),
        (
            {"ranges": {0: (0, np.inf)}},
            r"ranges: finite numbers for coordinates 0 to 3 expected, \(0, inf\) for 0 found",
        ),
        ({"fixed": {4: 1}}, "fixed: finite numbers for coordinates 0 to 3 expected, 1 for 4 found"),
        ({"fixed": {3: np.nan}}, "nan for 3 found"),
        ({"action_index": 1}, "action_index: 0 to 0 expected for variable 'action', 1 found"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    with pytest.raises(ConfigError, match=message):
        policy_map(Formula(lambda o: o[:, 0]), SPACE, **{"resolution": 3, **arguments})


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Discrete(3),
        gym.spaces.Box(0, 255, (3,), np.uint8),
        gym.spaces.Box(-1, 1, (3, 2)),
        gym.spaces.Dict({"x": gym.spaces.Box(-1, 1, (3,))}),
    ],
)
def test_only_vectors_of_floats_can_be_drawn(space):
    with pytest.raises(UnsupportedSpaceError, match="vectors of floating-point numbers, but the space is"):
        policy_map(Formula(lambda o: o[:, 0]), space)


def test_variables_that_are_not_written_are_told():
    with pytest.raises(UnknownVariableError, match="agent 'Formula' did not write variable 'v_value'.*'v_values'"):
        critic_map(Formula(lambda o: o[:, 0], "v_values"), SPACE, value_variable="v_value", resolution=3)
    with pytest.raises(UnknownVariableError, match="'env/env_obs', the workspace holds nothing"):
        policy_map(lambda workspace, t: None, SPACE, resolution=3)


def test_variables_of_another_shape_are_told():
    with pytest.raises(
        VariableMismatchError, match=r"shape \[9, 2, 2\] for 9 observations; \[9\] or \[9, n\] expected"
    ):
        policy_map(Formula(lambda o: o.view(-1, 2, 2)), SPACE, resolution=3)
    with pytest.raises(VariableMismatchError, match=r"shape \[1\] for 9 observations"):
        critic_map(Formula(lambda o: o[:1, 0], "v"), SPACE, value_variable="v", resolution=3)


def test_actions_that_do_not_fit_a_critic():
    critic = Formula(lambda o: o[:, :2], "q")
    draw = {"value_variable": "q", "resolution": 3}
    with pytest.raises(ConfigError, match=r"'q' has the values of actions 0 to 1, not of \[2\]"):
        critic_map(critic, SPACE, **draw, action=2)
    with pytest.raises(ConfigError, match=r"not of \[-1\]"):
        critic_map(critic, SPACE, **draw, action=-1)
    with pytest.raises(ConfigError, match=r"not of \[1, 5\]"):
        critic_map(critic, SPACE, **draw, policy=Formula(lambda o: 1 + 4 * (o[:, 0] > 1).long()))
    with pytest.raises(ConfigError, match="an index or a vector of finite numbers expected"):
        critic_map(Judge(), SPACE, **draw, action=[np.nan])
    with pytest.raises(CompositionError, match="give action or policy, not both"):
        critic_map(critic, SPACE, **draw, action=0, policy=critic)


def test_what_has_memory_is_asked_at_the_beginning_of_an_episode():
    class Value(SummingAgent):
        def forward(self, t, **kwargs):
            super().forward(t, **kwargs)
            self.set(("q", t), self.get(("sum", t))[:, 1])

    policy = policy_map(SummingAgent(0.5), SPACE, resolution=4)
    assert np.allclose(pixels(policy)[0], centres(-1, 3, 4) / 2)
    assert policy.get_suptitle() == "Policy at the beginning of an episode"
    critic = critic_map(Value(), SPACE, value_variable="q", resolution=4)
    assert np.allclose(pixels(critic)[:, 0], centres(0, 10, 4))
    assert critic.get_suptitle() == "Critic at the beginning of an episode"
    other = critic_map(Formula(lambda o: o[:, 0], "q"), SPACE, value_variable="q", resolution=4)
    assert other.get_suptitle() == "Critic"


def test_without_matplotlib_the_way_to_install_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r'pip install --editable ".*\[plots\]"'):
        policy_map(Formula(lambda o: o[:, 0]), SPACE)
