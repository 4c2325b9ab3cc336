"""What is written at each step."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.envs.running import VARIABLES, run
from tests.toys import CountingEnv, SpaceEnv
from workspace_rl import GymAgent
from workspace_rl.agents import RandomAgent


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


def test_frames_keep_their_values_when_the_environment_goes_on():
    workspace = run(GymAgent(lambda: CountingEnv(9)), n_steps=8)
    assert workspace["env/env_obs"].flatten().tolist() == list(range(8))


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


def test_continuous_cartpole_of_bbrl_gymnasium_runs_quietly(capfd):
    agent = GymAgent("CartPoleContinuous-v1", 2)
    workspace = run(agent, n_steps=10)
    assert workspace["env/env_obs"].shape == (10, 2, 4)
    assert capfd.readouterr().out == ""
