import multiprocessing
import subprocess
import sys
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.toys import ConstantAgent, CountingEnv, SpaceEnv
from workspace_rl import Agents, GymAgent, TemporalAgent, Workspace, make_env
from workspace_rl.agents import RandomAgent
from workspace_rl.errors import (
    ActionError,
    CompositionError,
    UnknownEnvironmentError,
    UnsupportedSpaceError,
    UnwrittenStepError,
)

VARIABLES = ("env_obs", "reward", "terminated", "truncated", "done", "cumulated_reward", "timestep")


def run(env_agent, n_steps=None, stop_variable=None, action=None):
    workspace = Workspace()
    agent = TemporalAgent(Agents(env_agent, action or ConstantAgent()))
    agent(workspace, t=0, n_steps=n_steps, stop_variable=stop_variable)
    return workspace


def two_envs(auto_reset):
    """One environment that terminates after 3 steps, one that is truncated after 4; step k pays k."""
    endings = iter([(3, "terminated"), (4, "truncated")])
    vector = gym.vector.SyncVectorEnv([lambda: CountingEnv(*next(endings))] * 2)
    return GymAgent(vector, auto_reset=auto_reset)


def column(workspace, name):
    return ["".join(str(int(one)) for one in row.flatten().tolist()) for row in workspace[f"env/{name}"]]


def test_auto_reset_follows_the_traces_of_bbrl():
    workspace = run(two_envs(auto_reset=True), n_steps=9)
    assert column(workspace, "env_obs") == "00 11 22 33 04 10 21 32 03".split()
    assert column(workspace, "reward") == "00 11 22 33 04 10 21 32 03".split()
    assert column(workspace, "done") == "00 00 00 10 01 00 00 10 00".split()
    assert column(workspace, "terminated") == "00 00 00 10 00 00 00 10 00".split()
    assert column(workspace, "truncated") == "00 00 00 00 01 00 00 00 00".split()
    assert column(workspace, "cumulated_reward") == "00 11 33 66 010 10 31 63 06".split()
    assert column(workspace, "timestep") == "00 11 22 33 04 10 21 32 03".split()
    assert workspace.subtime(0, 9).get_transitions()["action"].shape == (2, 13, 1)


def test_without_auto_reset_the_first_episode_is_played_and_its_last_frame_repeated():
    workspace = run(two_envs(auto_reset=False), stop_variable="env/done")
    assert column(workspace, "env_obs") == "00 11 22 33 34".split()
    assert column(workspace, "reward") == "00 11 22 33 04".split()
    assert column(workspace, "done") == "00 00 00 10 11".split()
    assert column(workspace, "terminated") == "00 00 00 10 10".split()
    assert column(workspace, "truncated") == "00 00 00 00 01".split()
    assert column(workspace, "cumulated_reward") == "00 11 33 66 610".split()
    assert column(workspace, "timestep") == "00 11 22 33 34".split()


def test_what_a_finished_environment_does_later_is_ignored():
    lengths = iter([2, 7])
    agent = GymAgent(gym.vector.SyncVectorEnv([lambda: CountingEnv(next(lengths))] * 2), auto_reset=False)
    workspace = run(agent, stop_variable="env/done")
    assert workspace["env/env_obs"][:, 0, 0].tolist() == [0, 1, 2, 2, 2, 2, 2, 2]
    assert workspace["env/cumulated_reward"][-1].tolist() == [3, 28]
    assert workspace["env/timestep"][-1].tolist() == [2, 7]


def test_terminated_and_truncated_on_one_step():
    workspace = run(GymAgent(lambda: CountingEnv(2, "both")), n_steps=4)
    for name in ("terminated", "truncated", "done"):
        assert column(workspace, name) == ["0", "0", "1", "0"]


def test_evaluation_can_be_run_again():
    agent = two_envs(auto_reset=False)
    first, second = (run(agent, stop_variable="env/done") for _ in range(2))
    for name in VARIABLES:
        assert torch.equal(first[f"env/{name}"], second[f"env/{name}"])


@pytest.mark.parametrize("vectorization", ["sync", "async", "vector_entry_point"])
def test_dtypes_and_shapes(vectorization):
    agent = GymAgent("CartPole-v1", 3, vectorization=vectorization)
    workspace = run(agent, n_steps=5, action=RandomAgent(agent.action_space))
    agent.close()
    expected = {
        "env_obs": ((5, 3, 4), torch.float32),
        "reward": ((5, 3), torch.float32),
        "terminated": ((5, 3), torch.bool),
        "truncated": ((5, 3), torch.bool),
        "done": ((5, 3), torch.bool),
        "cumulated_reward": ((5, 3), torch.float32),
        "timestep": ((5, 3), torch.int64),
    }
    found = {name: (tuple(workspace[f"env/{name}"].shape), workspace[f"env/{name}"].dtype) for name in VARIABLES}
    assert found == expected


def test_sync_and_async_are_equal():
    agents = [GymAgent("Pendulum-v1", 2, vectorization=kind, seed=3) for kind in ("sync", "async")]
    first, second = (run(agent, n_steps=20) for agent in agents)
    agents[1].close()
    for name in VARIABLES:
        assert torch.equal(first[f"env/{name}"], second[f"env/{name}"])


@pytest.mark.parametrize(
    ("space", "leaves"),
    [
        (gym.spaces.Box(0, 255, (4, 4), np.uint8), {"": ((2, 4, 4), torch.uint8)}),
        (gym.spaces.Box(-1, 1, (3,), np.float64), {"": ((2, 3), torch.float32)}),
        (gym.spaces.Box(-1, 1, (3,), np.float16), {"": ((2, 3), torch.float16)}),
        (gym.spaces.Discrete(5), {"": ((2,), torch.int64)}),
        (gym.spaces.MultiBinary(3), {"": ((2, 3), torch.int8)}),
        (
            gym.spaces.Dict(a=gym.spaces.Box(-1, 1, (3,)), b=gym.spaces.Dict(c=gym.spaces.Discrete(2))),
            {"/a": ((2, 3), torch.float32), "/b/c": ((2,), torch.int64)},
        ),
    ],
)
def test_observations_keep_their_dtype_and_become_one_variable_per_leaf(space, leaves):
    agent = GymAgent(lambda: SpaceEnv(space), 2)
    workspace = run(agent, n_steps=2, action=RandomAgent(agent.action_space))
    found = {name: (tuple(workspace[name].shape[1:]), workspace[name].dtype) for name in workspace if "env_obs" in name}
    assert found == {f"env/env_obs{leaf}": expected for leaf, expected in leaves.items()}
    assert agent.observation_names == list(found)


def test_environments_rest_when_their_episode_is_over():
    made = []

    def make():
        made.append(CountingEnv(length=len(made) + 2))
        return made[-1]

    agent = GymAgent(make, 3, auto_reset=False)
    for _ in range(2):
        workspace = run(agent, stop_variable="env/done")
        assert workspace["env/timestep"][-1].tolist() == [2, 3, 4]
    assert [len(env.actions) for env in made] == [4, 6, 8]


def test_frames_keep_their_values_when_the_environment_goes_on():
    workspace = run(GymAgent(lambda: CountingEnv(9)), n_steps=8)
    assert workspace["env/env_obs"].flatten().tolist() == list(range(8))


def actions_seen(space, action, **options):
    agent = GymAgent(lambda: SpaceEnv(action_space=space), **options)
    workspace = Workspace()
    agent(workspace, t=0)
    workspace.set("action", 0, action)
    agent(workspace, t=1)
    return agent.vector_env.envs[0].actions[0]


def test_continuous_actions_are_rescaled_to_the_bounds():
    space = gym.spaces.Box(np.array([-2, 0], np.float32), np.array([2, 10], np.float32))
    assert actions_seen(space, torch.tensor([[0.5, -1.0]])).tolist() == [1, 0]
    assert actions_seen(space, torch.tensor([[0.5, 1.0]]), rescale_actions=False).tolist() == [0.5, 1]


def test_rounding_overshoot_is_removed_and_more_is_an_error():
    space = gym.spaces.Box(-2, 2, (1,), np.float32)
    assert actions_seen(space, torch.tensor([[1.000001]])).tolist() == [2]
    assert actions_seen(space, torch.tensor([[3.0]]), clip_actions=True).tolist() == [2]
    with pytest.raises(ActionError, match=r"'action' at step 0 is out of bounds for environment 0: \[1.5\] found"):
        actions_seen(space, torch.tensor([[1.5]]))
    with pytest.raises(ActionError, match="nan"):
        actions_seen(space, torch.tensor([[torch.nan]]))
    with pytest.raises(ActionError, match="nan"):
        actions_seen(space, torch.tensor([[torch.nan]]), clip_actions=True)


def test_float64_spaces_get_float64_actions():
    assert actions_seen(gym.spaces.Box(-1, 1, (1,), np.float64), torch.tensor([[0.25]])).dtype == np.float64


def test_infinite_bounds_cannot_be_rescaled():
    space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    with pytest.raises(UnsupportedSpaceError, match="infinite bounds.*rescale_actions=False"):
        GymAgent(lambda: SpaceEnv(action_space=space))
    with pytest.raises(UnsupportedSpaceError) as caught:
        GymAgent(partial(SpaceEnv, action_space=space), 2, vectorization="async")
    assert caught and not [one for one in multiprocessing.active_children() if "AsyncEnvs" in one.name]
    assert actions_seen(space, torch.tensor([[7.0]]), rescale_actions=False).tolist() == [7]


def test_discrete_actions():
    assert actions_seen(gym.spaces.Discrete(3, start=5), torch.tensor([2])).tolist() == 7
    assert actions_seen(gym.spaces.MultiDiscrete([2, 3]), torch.tensor([[1, 2]])).tolist() == [1, 2]
    with pytest.raises(ActionError, match=r"holds \[3\].*takes 0 to 2"):
        actions_seen(gym.spaces.Discrete(3), torch.tensor([3]))
    with pytest.raises(ActionError, match=r"integers of shape \[1\].*torch.float32 of shape \[1\]"):
        actions_seen(gym.spaces.Discrete(3), torch.tensor([1.0]))
    with pytest.raises(ActionError, match=r"holds \[\[1, 3\]\].*0 to \[1, 2\]"):
        actions_seen(gym.spaces.MultiDiscrete([2, 3]), torch.tensor([[1, 3]]))


def test_wrong_action_shapes_and_missing_actions_are_named():
    with pytest.raises(ActionError, match=r"floats of shape \[1, 1\].*found torch.float32 of shape \[1\]"):
        actions_seen(gym.spaces.Box(-1, 1, (1,)), torch.tensor([0.5]))
    agent = GymAgent("CartPole-v1")
    with pytest.raises(CompositionError, match="before t=0"):
        agent(Workspace(), t=1)
    workspace = Workspace()
    agent(workspace, t=0)
    workspace.set("action", 5, torch.tensor([0]))
    with pytest.raises(UnwrittenStepError, match="agent 'GymAgent': step 0 of variable 'action'"):
        agent(workspace, t=1)


@pytest.mark.parametrize("space", [gym.spaces.Text(3), gym.spaces.Dict(a=gym.spaces.Discrete(2))])
def test_unsupported_action_spaces_are_named(space):
    with pytest.raises(UnsupportedSpaceError, match="Box .of floats., Discrete and MultiDiscrete"):
        GymAgent(lambda: SpaceEnv(action_space=space))


def test_no_two_environments_resets_or_seeds_share_episodes():
    starts = []
    for seed in range(4):
        agent = GymAgent("CartPole-v1", 3, seed=seed)
        for _ in range(4):
            workspace = Workspace()
            agent(workspace, t=0)
            starts += workspace["env/env_obs"][0].tolist()
    assert len({tuple(start) for start in starts}) == 4 * 4 * 3


def test_seeding_is_reproducible_and_given_seeds_are_used_once():
    def starts(agent):
        workspace = Workspace()
        agent(workspace, t=0)
        return workspace["env/env_obs"]

    agent = GymAgent("CartPole-v1", 2, seed=7)
    first, second = starts(agent), starts(agent)
    assert not torch.equal(first, second)
    assert torch.equal(first, starts(agent.seed(7)))
    given = starts(agent.seed_episodes([1, 2]))
    assert torch.equal(starts(agent), second)
    assert torch.equal(given[0, 0], torch.from_numpy(gym.make("CartPole-v1").reset(seed=1)[0]))
    with pytest.raises(CompositionError, match="2 environments need as many seeds, 1"):
        agent.seed_episodes([1])


def test_unknown_environments_get_the_nearest_name():
    with pytest.raises(UnknownEnvironmentError, match="'CartPol-v1'.*Did you mean 'CartPole-v1'"):
        GymAgent("CartPol-v1")
    with pytest.raises(UnknownEnvironmentError):
        make_env("CartPole-v77")
    with pytest.raises(UnknownEnvironmentError, match="module 'nowhere'.*cannot be imported"):
        make_env("nowhere:Thing-v0")


def test_missing_simulators_name_the_extra():
    program = (
        "import sys; sys.modules['mujoco'] = None; sys.modules['ale_py'] = None; sys.modules['Box2D'] = None\n"
        "import workspace_rl, workspace_rl.errors\n"
        "for name in ('HalfCheetah-v5', 'PongNoFrameskip-v4', 'LunarLander-v3'):\n"
        "    try: workspace_rl.envs.make_env(name)\n"
        "    except workspace_rl.errors.MissingDependencyError as error: print(error)\n"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    for extra in ("mujoco", "atari", "box2d"):
        assert "pip install --editable" in output and f'[{extra}]"' in output


def test_bad_arguments():
    with pytest.raises(CompositionError, match="n_envs: at least 1 expected, 0"):
        GymAgent("CartPole-v1", 0)
    with pytest.raises(CompositionError, match="'parallel'"):
        GymAgent("CartPole-v1", vectorization="parallel")
    with pytest.raises(CompositionError, match="no vector entry point"):
        GymAgent("Pendulum-v1", vectorization="vector_entry_point")
    same_step = gym.make_vec(
        "CartPole-v1",
        1,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP},
    )
    with pytest.raises(CompositionError, match="NEXT_STEP"):
        GymAgent(same_step)
    with pytest.raises(CompositionError, match="give its id, or a function"):
        GymAgent(gym.make("CartPole-v1"))
    with pytest.raises(CompositionError, match="brings its number of environments"):
        GymAgent(gym.make_vec("CartPole-v1", 2), 7)


def test_a_vector_environment_that_reuses_its_memory():
    vector = gym.vector.SyncVectorEnv([lambda: CountingEnv(9)], copy=False)
    workspace = run(GymAgent(vector), n_steps=5)
    assert workspace["env/env_obs"].flatten().tolist() == [0, 1, 2, 3, 4]


def test_returns_do_not_lose_digits():
    class Tenths(CountingEnv):
        def step(self, action):
            observation, _, *rest = super().step(action)
            return observation * 0, 0.1, *rest

    workspace = run(GymAgent(lambda: Tenths(20_000), auto_reset=False), stop_variable="env/done")
    assert workspace["env/cumulated_reward"][-1].item() == pytest.approx(2000, rel=1e-6)


def test_sizes():
    agent = GymAgent("Pendulum-v1")
    assert (agent.observation_size, agent.action_size) == (3, 1)
    assert GymAgent("CartPole-v1").action_size == 2
    assert GymAgent(lambda: SpaceEnv(gym.spaces.Discrete(3, start=1))).observation_choices == [[1, 3]]
    with pytest.raises(UnsupportedSpaceError, match="not a vector"):
        _ = GymAgent(lambda: SpaceEnv(gym.spaces.Box(0, 1, (3, 3)))).observation_size


def test_wrappers_are_applied_in_order():
    env = make_env(
        "CartPole-v1", [gym.wrappers.FlattenObservation, gym.wrappers.RecordEpisodeStatistics], render_mode="rgb_array"
    )
    assert isinstance(env, gym.wrappers.RecordEpisodeStatistics) and isinstance(
        env.env, gym.wrappers.FlattenObservation
    )
    env.reset(seed=0)
    assert env.render().shape == (400, 600, 3)


def test_continuous_cartpole_of_bbrl_gymnasium_runs_quietly(capfd):
    agent = GymAgent("CartPoleContinuous-v1", 2)
    workspace = run(agent, n_steps=10)
    assert workspace["env/env_obs"].shape == (10, 2, 4)
    assert capfd.readouterr().out == ""
