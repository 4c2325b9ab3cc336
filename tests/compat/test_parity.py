"""The same program with the real BBRL and with the stand-in: every variable is the same, bit for bit."""

import importlib
from collections import OrderedDict
from functools import partial
from types import SimpleNamespace

import bbrl_gymnasium  # noqa: F401
import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.compat.conftest import OURS, REAL, content

# Those of BBRL itself, of CartPoleContinuous-v1 without this library's wrapper, and of spaces in float64.
pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")]


class DictEnv(gym.Env):
    """Nested observations of several dtypes, nested actions, episodes of 3 to 9 steps."""

    def __init__(self):
        box = gym.spaces.Box(-10, 10, (2,), np.float64)
        self.observation_space = gym.spaces.Dict(
            {
                "position": box,
                "inner": gym.spaces.Dict({"picture": gym.spaces.Box(0, 255, (2, 2), np.uint8), "speed": box}),
                "flags": gym.spaces.MultiBinary(3),
            }
        )
        self.action_space = gym.spaces.Dict(
            {"move": gym.spaces.Box(-1, 1, (2,), np.float32), "hand": gym.spaces.Dict({"grip": gym.spaces.Discrete(2)})}
        )

    def observe(self):
        picture = self.np_random.integers(0, 256, (2, 2)).astype(np.uint8)
        flags = self.np_random.integers(0, 2, 3).astype(np.int8)
        return {"position": self.x.copy(), "inner": {"picture": picture, "speed": self.x / 3}, "flags": flags}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.left = self.np_random.normal(size=2), int(self.np_random.integers(3, 10))
        return self.observe(), {}

    def step(self, action):
        self.x = self.x + np.asarray(action["move"]) * (1 + int(action["hand"]["grip"]))
        self.left -= 1
        over = self.left == 0
        ended = over and self.np_random.random() < 0.5
        return self.observe(), float(self.x.sum()), ended, over and not ended, {}


gym.register("Nested-v0", entry_point="tests.compat.test_parity:DictEnv")


def make_policy(package, env_agent):
    """Actions from torch's global generator, so that both packages draw the same."""

    class Policy(package.agents.Agent):
        def forward(self, t, **kwargs):
            batch = self.get(("env/reward", t)).shape[0]
            if isinstance(env_agent.action_space, gym.spaces.Dict):
                self.set(("action/move", t), torch.rand(batch, 2) * 2 - 1)
                self.set(("action/hand/grip", t), torch.randint(2, (batch,)))
            elif env_agent.is_discrete_action():
                self.set(("action", t), torch.randint(env_agent.action_space.n, (batch,)))
            else:
                # Pendulum is pushed beyond its bounds, which both leave to the environment.
                scale = 1 if "CartPole" in str(env_agent.envs[0]) else 5
                self.set(("action", t), (torch.rand(batch, *env_agent.action_space.shape) * 2 - 1) * scale)

    return Policy()


def collect(package, env, n_envs, *, auto_reset, n_steps=500, seed=3, **options):
    torch.manual_seed(0)
    make = partial(package.gym.make_env, env, autoreset=auto_reset)
    env_agent = package.gym.ParallelGymAgent(make, n_envs, **options).seed(seed)
    agent = package.agents.TemporalAgent(package.agents.Agents(env_agent, make_policy(package, env_agent)))
    workspaces = []
    for _ in range(2):  # the second reset has seeds of its own
        workspace = package.Workspace()
        agent(workspace, t=0, n_steps=n_steps)
        workspaces.append(workspace)
    if not auto_reset:
        workspace = package.Workspace()
        agent(workspace, t=0, stop_variable="env/done")
        workspaces.append(workspace)
    return workspaces


def assert_same(one, other):
    one, other = content(one), content(other)
    assert sorted(one) == sorted(other)
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        assert torch.equal(one[name], other[name]), name


ENVIRONMENTS = ("CartPole-v1", "Pendulum-v1", "CartPoleContinuous-v1", "Nested-v0")


@pytest.mark.parametrize("auto_reset", [True, False])
@pytest.mark.parametrize("n_envs", [1, 3, 8])
@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_variable_of_500_steps_is_the_same(env, n_envs, auto_reset):
    for theirs, mine in zip(
        collect(REAL, env, n_envs, auto_reset=auto_reset),
        collect(OURS, env, n_envs, auto_reset=auto_reset),
        strict=True,
    ):
        assert_same(theirs, mine)
        if auto_reset:
            assert_same(theirs.get_transitions(), mine.get_transitions())
            assert_same(theirs.get_transitions(no_final_state=True), mine.get_transitions(no_final_state=True))


@pytest.mark.parametrize("option", [{"include_last_state": False}, {"reward_at_t": True}])
@pytest.mark.parametrize("auto_reset", [True, False])
@pytest.mark.parametrize("env", ["CartPole-v1", "Nested-v0"])
def test_options_of_the_environments(env, auto_reset, option):
    for theirs, mine in zip(
        collect(REAL, env, 3, auto_reset=auto_reset, n_steps=100, **option),
        collect(OURS, env, 3, auto_reset=auto_reset, n_steps=100, **option),
        strict=True,
    ):
        assert_same(theirs, mine)


@pytest.mark.parametrize(
    "arguments, options",
    [
        ((), {}),  # unseeded
        (({"autoreset": True}, 7), {}),
        ((), {"seed": 7, "name": "world", "verbose": False}),
        ((), {"input_string": "move", "output_string": "world/"}),
    ],
)
def test_arguments_of_the_constructor(arguments, options):
    frames = []
    for package in (REAL, OURS):
        agent = package.gym.ParallelGymAgent(partial(package.gym.make_env, "Pendulum-v1"), 3, *arguments, **options)
        workspace = package.Workspace()
        agent(workspace, t=0)
        workspace.set(options.get("input_string", "action"), 0, torch.ones(3, 1))
        agent(workspace, t=1)
        frames.append(workspace)
        assert agent.get_name() == options.get("name")
        assert [len(agent.envs), agent.num_envs] == [3, 3]
    assert_same(*frames)


@pytest.mark.parametrize("env", ["CartPole-v1", "Nested-v0"])
def test_replay_contents_and_batches_are_the_same(env):
    """The loop of BBRL's notebooks, around the ring three times."""
    loops = []
    for package in (REAL, OURS):
        torch.manual_seed(1)
        make = partial(package.gym.make_env, env, autoreset=True)
        env_agent = package.gym.ParallelGymAgent(make, 3).seed(1)
        agent = package.agents.TemporalAgent(package.agents.Agents(env_agent, make_policy(package, env_agent)))
        workspace, buffer, batches = package.Workspace(), package.ReplayBuffer(100), []
        for epoch in range(15):
            if epoch == 0:
                agent(workspace, t=0, n_steps=9)
            else:
                workspace.zero_grad()
                workspace.copy_n_last_steps(1)
                agent(workspace, t=1, n_steps=8)
            buffer.put(workspace.get_transitions())
            batches.append(buffer.get_shuffled(16))
        loops.append((buffer, batches))
    (theirs, their_batches), (mine, my_batches) = loops
    assert (theirs.position, theirs.is_full, theirs.size()) == (mine.position, mine.is_full, mine.size())
    assert sorted(theirs.variables) == sorted(mine.variables)
    for name in theirs.variables:
        assert torch.equal(theirs.variables[name], mine.variables[name]), name
    for one, other in zip(their_batches, my_batches, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("sizes", [(4, 4), (4, 6), (10,), (3, 10), (9, 1, 10)])
def test_replay_positions_when_it_wraps_around(sizes):
    states = []
    for package in (REAL, OURS):
        buffer, k = package.ReplayBuffer(10), 0
        for size in sizes:
            workspace = package.Workspace()
            workspace.set_full("x", torch.arange(k, k + size).float().repeat(2, 1))
            k += size
            buffer.put(workspace)
        states.append((buffer.position, buffer.is_full, buffer.variables["x"].tolist()))
    assert states[0] == states[1]


def test_sequences_and_mini_batches():
    """Trajectories in the buffer, as PPO keeps them, and its mini-batches."""
    results = []
    for package in (REAL, OURS):
        torch.manual_seed(2)
        (workspace, *_) = collect(package, "CartPole-v1", 4, auto_reset=True, n_steps=20)
        buffer = package.ReplayBuffer(6)
        buffer.put(workspace)
        buffer.put(workspace)
        results.append([buffer.get_shuffled(5), workspace.select_batch_n(7), workspace.subtime(3, 30)])
    for theirs, mine in zip(*results, strict=True):
        assert_same(theirs, mine)


def gaes(package):
    torch.manual_seed(0)
    reward, value, next_value = torch.randn(3, 12, 4).unbind()
    value.requires_grad_()
    goes_on = torch.rand(12, 4) < 0.8
    gae = package.module("utils.functional").gae
    return [gae(reward, next_value, goes_on, value, 0.97, coefficient) for coefficient in (0.0, 0.9, 1.0)], value


def test_gae_is_the_same():
    (theirs, their_value), (mine, my_value) = gaes(REAL), gaes(OURS)
    for one, other in zip(theirs, mine, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(
        torch.autograd.grad(theirs[1].sum(), their_value)[0], torch.autograd.grad(mine[1].sum(), my_value)[0]
    )


def test_other_functions_of_values():
    results = []
    for package in (REAL, OURS):
        torch.manual_seed(0)
        functional = package.module("utils.functional")
        reward, value, goes_on = torch.randn(6, 3), torch.randn(6, 3), torch.rand(5, 3) < 0.7
        q, q_target, action = torch.randn(6, 3, 4), torch.randn(6, 3, 4), torch.randint(4, (6, 3))
        done = torch.zeros(6, 3, dtype=torch.bool)
        done[[5, 2, 3], [0, 1, 2]] = True
        results.append(
            [
                functional.temporal_difference(value, reward, goes_on, 0.9),
                functional.doubleqlearning_temporal_difference(q, action, q_target, reward, goes_on, 0.9),
                torch.tensor(functional.cumulated_reward(reward, done)),
            ]
        )
    for theirs, mine in zip(*results, strict=True):
        torch.testing.assert_close(theirs, mine)


def updated(package, name):
    """Return a network after one of the functions that move its weights, with a graph that was built before."""
    torch.manual_seed(0)
    networks = [
        torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)) for _ in "ab"
    ]
    loss = networks[1](torch.randn(5, 3)).square().mean()
    utils, nn = (
        package.module("utils.utils"),
        importlib.import_module(package.root.replace("bbrl", "bbrl_utils") + ".nn"),
    )
    vector = torch.randn(sum(one.numel() for one in networks[1].parameters()))
    {
        "soft_param_update": lambda: utils.soft_param_update(networks[1], networks[0], 0.05),
        "soft_update_params": lambda: nn.soft_update_params(networks[0], networks[1], 0.05),
        "copy_parameters": lambda: nn.copy_parameters(networks[0], networks[1]),
        "vector_to_parameters": lambda: utils.vector_to_parameters(vector, networks[1].parameters()),
    }[name]()
    loss.backward()
    networks[1][0].weight.data += 1
    return [*networks[1].state_dict().values(), *(one.grad for one in networks[1].parameters()), vector]


@pytest.mark.parametrize("name", ["soft_param_update", "soft_update_params", "copy_parameters", "vector_to_parameters"])
def test_weights_are_moved_alike(name):
    for theirs, mine in zip(updated(REAL, name), updated(OURS, name), strict=True):
        assert torch.equal(theirs, mine)


def test_small_helpers():
    for package in (REAL, OURS):
        utils, bbrl = package.module("utils.utils"), importlib.import_module(package.root)
        assert utils.is_vec_of_ones(torch.ones(2, 3)) is True
        assert utils.is_vec_of_ones(torch.tensor([[1, 1], [1, 0]])) is False
        nested = {"a": {"b": 1}}
        assert utils.key_path_in_dict(nested, "a.b") and not utils.key_path_in_dict(nested, "a.c")
        utils.set_value_with_key_path(nested, "a.b", 2)
        assert nested == {"a": {"b": 2}}
        found = SimpleNamespace(classname="collections.OrderedDict")
        assert bbrl.get_class(found) is bbrl.get_class({"classname": "collections.OrderedDict"}) is OrderedDict
        assert bbrl.get_arguments([("classname", "x"), ("a", 1)]) == {"a": 1}
        assert bbrl.instantiate_class([("classname", "fractions.Fraction"), ("numerator", 3)]) == 3


def test_distributions_are_the_same():
    results = []
    for package in (REAL, OURS):
        torch.manual_seed(0)
        module = package.module("utils.gymnasium.distributions")
        made = module.SquashedDiagGaussianDistribution(2)
        assert made.mean_actions is None and isinstance(made, module.DiagGaussianDistribution)
        mean, log_std = torch.randn(5, 2, requires_grad=True), torch.randn(5, 2)
        assert made.make_distribution(mean, log_std) is made
        action = made.sample()
        log_prob = made.log_prob(action.detach())
        results.append([action, log_prob, made.mode(), made.get_actions(deterministic=True), *made.get_ten_samples()])
        results[-1] += torch.autograd.grad(log_prob.sum() + action.sum(), mean)
        with pytest.raises(Exception, match="ntropy"):
            made.entropy()
    for theirs, mine in zip(*results, strict=True):
        assert torch.equal(theirs, mine)
    # BBRL's are abstract.
    assert type(module.make_proba_distribution(gym.spaces.Box(-1, 1, (2,)))) is module.DiagGaussianDistribution
    assert type(module.make_proba_distribution(gym.spaces.Discrete(2))).__name__ == "CategoricalDistribution"
