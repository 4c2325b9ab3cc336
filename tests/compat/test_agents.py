"""Agents under BBRL's names: the traces of its environments, its constructors, films, and its mistakes."""

import copy
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from moviepy import VideoFileClip
from torch import nn

from tests.compat.conftest import OURS
from workspace_rl.compat.bbrl.agents import (
    Agent,
    Agents,
    EpisodesDone,
    KWAgentWrapper,
    PrintAgent,
    SeedableAgent,
    TemporalAgent,
)
from workspace_rl.compat.bbrl.agents.gymnasium import ParallelGymAgent, make_env, record_video
from workspace_rl.compat.bbrl.workspace import Workspace
from workspace_rl.errors import RenderingError, UnsupportedSpaceError

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning"),
    # moviepy's reader leaves its pipes to the garbage collector if ffmpeg has ended before it.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class CountingEnv(gym.Env):
    """Observes the step's number; step k pays k; the first copy terminates after 3 steps, the second after 4."""

    observation_space = gym.spaces.Box(0, 100, (1,))
    action_space = gym.spaces.Discrete(2)
    made = 0

    def __init__(self):
        self.number = CountingEnv.made % 2
        CountingEnv.made += 1
        self.steps_taken = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.k = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert type(action) is int
        self.k += 1
        self.steps_taken += 1
        over = self.k == 3 + self.number
        observation = np.array([self.k], np.float32)
        return observation, float(self.k), over and self.number == 0, over and self.number == 1, {}


class Zero(Agent):
    def forward(self, t, **kwargs):
        self.set(("action", t), torch.zeros(len(self.get(("env/reward", t))), dtype=torch.int64))


def trace(package, auto_reset, n_steps=9, **options):
    CountingEnv.made = 0
    make = lambda: gym.wrappers.Autoreset(CountingEnv()) if auto_reset else CountingEnv()  # noqa: E731
    env_agent = package.gym.ParallelGymAgent(make, 2, **options)

    class Still(package.agents.Agent):
        forward = Zero.forward

    workspace, agent = package.Workspace(), package.agents.TemporalAgent(package.agents.Agents(env_agent, Still()))
    if auto_reset:
        agent(workspace, t=0, n_steps=n_steps)
    else:
        agent(workspace, t=0, stop_variable="env/done")
    return workspace


def rows(workspace, name):
    values = workspace[f"env/{name}"].squeeze(-1) if name == "env_obs" else workspace[f"env/{name}"]
    return " ".join("/".join(f"{int(one)}" for one in row) for row in values)


ORACLE = {
    "auto-reset": (
        (True, {}),
        {
            "env_obs": "0/0 1/1 2/2 3/3 0/4 1/0 2/1 3/2 0/3",
            "done": "0/0 0/0 0/0 1/0 0/1 0/0 0/0 1/0 0/0",
            "terminated": "0/0 0/0 0/0 1/0 0/0 0/0 0/0 1/0 0/0",
            "truncated": "0/0 0/0 0/0 0/0 0/1 0/0 0/0 0/0 0/0",
            "reward": "0/0 1/1 2/2 3/3 0/4 1/0 2/1 3/2 0/3",
            "cumulated_reward": "0/0 1/1 3/3 6/6 0/10 1/0 3/1 6/3 0/6",
            "timestep": "0/0 1/1 2/2 3/3 0/4 1/0 2/1 3/2 0/3",
        },
    ),
    "without the last state": (
        (True, {"include_last_state": False}),
        {
            "env_obs": "0/0 1/1 2/2 0/3 1/0 2/1 0/2 1/3 2/0",
            "done": "0/0 0/0 0/0 1/0 0/1 0/0 1/0 0/0 0/1",
            "reward": "0/0 1/1 2/2 3/3 1/4 2/1 3/2 1/3 2/4",
            "cumulated_reward": "0/0 1/1 3/3 6/6 1/10 3/1 6/3 1/6 3/10",
            "timestep": "0/0 1/1 2/2 3/3 0/4 1/0 2/1 0/2 1/3",
        },
    ),
    "one episode": (
        (False, {}),
        {
            "env_obs": "0/0 1/1 2/2 3/3 3/4",
            "done": "0/0 0/0 0/0 1/0 1/1",
            "reward": "0/0 1/1 2/2 3/3 0/4",
            "cumulated_reward": "0/0 1/1 3/3 6/6 6/10",
            "timestep": "0/0 1/1 2/2 3/3 3/4",
        },
    ),
    "reward at t": (
        (True, {"reward_at_t": True}),
        {
            "env_obs": "0/0 1/1 2/2 3/3 0/4 1/0 2/1 3/2 0/3",
            "reward": "1/1 2/2 3/3 0/4 1/0 2/1 3/2 0/3 0/0",
            "cumulated_reward": "1/1 3/3 6/6 0/10 1/0 3/1 6/3 0/6 0/6",
        },
    ),
}


@pytest.mark.parametrize("name", ORACLE)
def test_oracle_traces(either, name):
    (auto_reset, options), expected = ORACLE[name]
    workspace = trace(either, auto_reset, **options)
    assert {name: rows(workspace, name) for name in expected} == expected


def test_transitions_of_the_trace(either):
    assert trace(either, True, n_steps=9).get_transitions().batch_size() == 16 - 3


def test_environments_rest_after_their_episode():
    env_agent = ParallelGymAgent(CountingEnv, 2)
    TemporalAgent(Agents(env_agent, Zero()))(Workspace(), t=0, n_steps=20)
    assert sorted(env.steps_taken for env in env_agent.envs) == [3, 4]


# ---- constructors and names ---------------------------------------------------------------------------------------


def test_constructors(either):
    agents = either.agents

    class Mixed(agents.TimeAgent, agents.SeedableAgent, agents.SerializableAgent):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    mixed = Mixed(3, name="mixed", verbose=True)
    assert (mixed._seed, mixed.name, mixed.verbose) == (3, "mixed", True)
    plain = agents.Agent()
    assert plain.get_name() is None and plain.prefix == ""
    assert plain.set_name("b") is plain and plain.name == "b"
    plain.name, plain.prefix = "c", "p/"
    assert plain.get_name() == "c" and copy.deepcopy(plain).with_prefix("q/").prefix == "q/"
    assert isinstance(agents.Agents(plain).agents, nn.ModuleList)
    inner = agents.Agents(plain, mixed, name="both")
    assert inner[1] is mixed
    outer = agents.TemporalAgent(inner, name="mixed")
    assert outer.agent is inner
    assert outer.get_by_name("mixed") == [mixed, outer] and outer.get_by_name("both") == [inner]
    wrapper = agents.KWAgentWrapper(plain, stochastic=False)
    assert wrapper.wrapped is plain and wrapper.kwargs == {"stochastic": False}


@pytest.mark.parametrize(
    "mistake",
    [
        lambda a: a.Agents(nn.Linear(1, 1)),
        lambda a: a.TemporalAgent(a.Agent())(None, t=0, n_steps=1),
        lambda a: a.TemporalAgent(a.Agent())(OURS.Workspace()),
        lambda a: a.Agent()(None),
    ],
)
def test_mistakes_are_assertion_errors(either, mistake):
    with pytest.raises(AssertionError):
        mistake(either.agents)


def test_temporal_agents_take_positions_and_run_at_least_once(either):
    class Stop(either.agents.Agent):
        def forward(self, t, **kwargs):
            self.set(("stop", t), torch.full((2,), float(t == 3)))

    for arguments, options, expected in (
        ((0, 3), {}, 3),
        ((), {"t": 0, "n_steps": 0}, 1),
        ((0,), {"stop_variable": "stop"}, 4),
        ((0, 2, "stop"), {}, 2),
    ):
        workspace = either.Workspace()
        assert either.agents.TemporalAgent(Stop())(workspace, *arguments, **options) is None
        assert workspace.time_size() == expected


def test_sizes_and_kinds_of_spaces(either):
    agent = either.gym.ParallelGymAgent(partial(either.gym.make_env, "Pendulum-v1"), 1)
    assert agent.get_obs_and_actions_sizes() == (3, 1)
    assert agent.is_continuous_action() and agent.is_continuous_state() and not agent.is_discrete_action()
    assert [name for name, _ in agent.named_parameters()] == ["ghost_params"]
    agent = either.gym.ParallelGymAgent(partial(either.gym.make_env, "FrozenLake-v1"), 1)
    assert agent.get_obs_and_actions_sizes() == (16, 4) and agent.is_discrete_state() and agent.is_discrete_action()
    workspace = either.Workspace()
    agent(workspace, t=0)
    assert workspace["env/env_obs"].dtype == torch.int64 and workspace["env/env_obs"].shape == (1, 1)
    assert agent.get_observation_space() is agent.observation_space
    with pytest.raises(ValueError):
        either.gym.GymAgent().get_action_space()
    with pytest.raises(AssertionError):
        either.gym.ParallelGymAgent(CountingEnv, 0)


@pytest.mark.parametrize("action", [torch.zeros(3, dtype=torch.int64), torch.zeros(2)])
def test_actions_that_do_not_fit(either, action):
    agent, workspace = either.gym.ParallelGymAgent(partial(either.gym.make_env, "CartPole-v1"), 2), either.Workspace()
    agent(workspace, t=0)
    workspace.set("action", 0, action)
    with pytest.raises(AssertionError):
        agent(workspace, t=1)


# ---- where BBRL fails ---------------------------------------------------------------------------------------------


def test_an_exception_leaves_no_workspace_behind():
    class Broken(Agent):
        def forward(self, t, **kwargs):
            raise ZeroDivisionError

    agent = Broken()
    with pytest.raises(ZeroDivisionError):
        agent(Workspace(), t=0)
    assert agent.workspace is None


def test_wrapped_compositions_and_repeated_keywords():
    seen = []

    class Listener(Agent):
        def forward(self, t, **kwargs):
            seen.append(kwargs)

    agent = Listener("listener")
    wrapper = KWAgentWrapper(TemporalAgent(Agents(agent)), stochastic=False)
    wrapper(Workspace(), t=0, n_steps=2, stochastic=True)
    assert seen == [{"stochastic": False}] * 2
    assert wrapper.get_by_name("listener") == [agent]


def test_agents_keep_the_names_of_their_own_keywords(either):
    class Listener(either.agents.Agent):
        def forward(self, t, v, **kwargs):
            self.heard = (t, v, kwargs)

    agent = Listener()
    either.agents.Agents(agent)(either.Workspace(), t=0, v=3, var_name="x")
    assert agent.heard == (0, 3, {"var_name": "x"})


def test_seeding_again_counts():
    agent = SeedableAgent(seed=1)
    assert agent.seed(5) is agent and agent._seed == 5
    env_agent = ParallelGymAgent(partial(make_env, "Pendulum-v1"), 1).seed(1)
    assert Agents(env_agent, agent).seed(3)[0]._seed == agent._seed == 3


def test_seeds_reach_what_bbrl_seeds(either):
    """A composition seeds its agents, an agent that holds others does not."""
    agents = either.agents
    make = partial(either.gym.make_env, "Pendulum-v1")

    class Holder(agents.Agent):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

    envs = [either.gym.ParallelGymAgent(make, 1) for _ in range(2)]
    held, composed = Holder(envs[0]), agents.Agents(envs[1])
    if either is OURS:
        assert KWAgentWrapper(SeedableAgent()).seed(4).wrapped._seed == 4
    agents.TemporalAgent(held).seed(5)
    agents.TemporalAgent(composed).seed(5)
    workspaces = [either.Workspace(), either.Workspace()]
    for env_agent, workspace in zip(envs, workspaces, strict=True):
        env_agent(workspace, t=0)
    assert [env._seed for env in envs] == [42, 5]


def test_clones_have_no_gradients(either):
    agent = either.agents.Agent()
    agent.layer = nn.Linear(1, 1)
    agent.layer(torch.ones(1)).sum().backward()
    twin = agent.clone()
    assert twin.layer.weight.grad is None and agent.layer.weight.grad is None


def test_environments_of_ones_own(either):
    class Own(either.gym.GymAgent):
        def forward(self, t, **kwargs):
            super().forward(t, **kwargs)
            self.set_obs({"reward": torch.full((2,), float(t)), "cumulated_reward": torch.ones(2)}, t)

    agent, workspace = Own(reward_at_t=True), either.Workspace()
    for t in range(3):
        agent(workspace, t=t)
    assert workspace["env/reward"][:, 0].tolist() == [1, 2, 0]
    assert (agent._seed, agent._nb_reset, agent._timestep_from_reset) == (42, 2, 3)


def test_printing_follows_the_workspace(capsys):
    agent = PrintAgent()
    for name in ("a", "b"):
        workspace = Workspace()
        workspace.set(name, 0, torch.ones(1))
        agent(workspace, t=0)
    assert capsys.readouterr().out == "a  =  tensor([1.])\nb  =  tensor([1.])\n"


def test_padded_steps_are_printed(either, capsys):
    workspace = either.Workspace()
    for name in ("a", "b"):
        workspace.set(name, 2, torch.ones(1))
    for agent in (either.agents.PrintAgent(), either.agents.PrintAgent("b", "a")):
        agent(workspace, t=1)
    shown = [f"{name}  =  tensor([0.])" for name in "abba"]
    assert capsys.readouterr().out.splitlines() == shown


def test_episodes_done_may_begin_later():
    workspace = Workspace()
    agent = EpisodesDone(out_var="over")
    for t, done in ((3, [1.0, 0.0]), (4, [0.0, 0.0])):
        workspace.set("env/done", t, torch.tensor(done))
        agent(workspace, t=t)
        assert workspace.get("over", t).tolist() == [True, False]


def test_the_sizes_of_a_dictionary_are_asked_of_its_parts():
    class Parts(gym.Env):
        observation_space = gym.spaces.Dict({"a": gym.spaces.Box(-1, 1, (1,))})
        action_space = gym.spaces.MultiDiscrete([2, 3])

    with pytest.raises(UnsupportedSpaceError):
        ParallelGymAgent(Parts, 2).get_obs_and_actions_sizes()


# ---- films --------------------------------------------------------------------------------------------------------


class Push(Agent):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, t, **kwargs):
        self.set(("action", t), self.layer(self.get(("env/env_obs", t))).argmax(-1))


@pytest.mark.parametrize("target", ["best_agent", "best_agent.mp4"])
def test_films(tmp_path, target):
    env = make_env("CartPole-v1", render_mode="rgb_array")
    film = record_video(env, TemporalAgent(Push()), tmp_path / "sub" / target)
    assert (tmp_path / "sub" / "best_agent" / "rl-video-episode-0.mp4").is_file()
    with VideoFileClip(str(film)) as clip:
        assert clip.size == [600, 400] and clip.duration > 0.1
    assert Path(film) == tmp_path / "sub" / (target if target.endswith("mp4") else "best_agent/rl-video-episode-0.mp4")
    env.reset()  # it is still open
    record_video(make_env("CartPole-v1", autoreset=True, render_mode="rgb_array"), Push(), tmp_path / "other")
    env.close()


def test_a_discrete_observation_is_filmed(tmp_path):
    class Right(Agent):
        def forward(self, t, **kwargs):
            assert self.get(("env/env_obs", t)).dtype == torch.int64
            self.set(("action", t), torch.full((1,), 2))

    env = make_env("FrozenLake-v1", render_mode="rgb_array", is_slippery=False)
    assert record_video(env, Right(), tmp_path / "film").stat().st_size > 1000
    env.close()


class Drawing(gym.Wrapper):
    """Draws gray pictures of floating-point numbers; after three of them it fails."""

    drawn = 0

    def render(self):
        self.drawn += 1
        if self.drawn > 3:
            raise OSError("no display")
        return np.full((16, 16), 0.5)


def test_what_cannot_be_filmed_is_a_rendering_error_and_the_policy_is_as_before(tmp_path):
    class Normalising(Push):
        def __init__(self):
            super().__init__()
            self.layer = nn.Sequential(nn.BatchNorm1d(4), self.layer)

    policy, env = Normalising(), Drawing(make_env("CartPole-v1", render_mode="rgb_array"))
    with pytest.raises(RenderingError, match="render raised OSError: no display"):
        record_video(env, policy, tmp_path / "film")
    assert policy.layer[0].num_batches_tracked == 0 and policy.training
    assert not list((tmp_path / "film").iterdir())
    env.close()


def test_wrappers_are_applied_in_order():
    first, second = partial(gym.wrappers.ClipReward, max_reward=0), partial(gym.wrappers.TransformReward, func=abs)
    env = make_env("Pendulum-v1", autoreset=True, wrappers=[first, second], max_episode_steps=3)
    assert isinstance(env, gym.wrappers.Autoreset) and isinstance(env.env, gym.wrappers.TransformReward)
