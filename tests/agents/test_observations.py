"""Observations that are no floating-point numbers, as networks are given them."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.toys import SpaceEnv
from workspace_rl import GymAgent, Workspace, load_policy, save_policy
from workspace_rl.agents import ContinuousQAgent, DeterministicActor, DiscreteQAgent, SquashedGaussianActor
from workspace_rl.agents.observations import OneHot
from workspace_rl.errors import CompositionError, UnsupportedSpaceError


def test_each_choice_becomes_a_one_of_its_own():
    assert OneHot([[0, 3]])(torch.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert OneHot([[5, 2], [-1, 3]])(torch.tensor([[6, 0], [5, -1]])).tolist() == [[0, 1, 0, 1, 0], [1, 0, 1, 0, 0]]
    # Choices in rows and columns; their weights' type.
    assert OneHot([[0, 2]] * 4)(torch.ones(3, 2, 2, dtype=torch.int32)).shape == (3, 8)
    assert OneHot([[0, 2]]).double()(torch.tensor([1])).dtype == torch.float64
    assert not OneHot([[0, 2]]).state_dict()


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (gym.spaces.Discrete(5), 5),
        (gym.spaces.Discrete(5, start=-2), 5),
        (gym.spaces.MultiDiscrete([2, 3]), 5),
        (gym.spaces.MultiDiscrete([[2, 3], [4, 5]]), 14),
        (gym.spaces.MultiDiscrete([3, 3], start=[1, -1]), 6),
        (gym.spaces.MultiBinary(4), 4),
        (gym.spaces.Box(0, 255, (6,), np.uint8), 6),
        (gym.spaces.Box(-9, 9, (3,), np.int64), 3),
    ],
)
@pytest.mark.parametrize("kind", ["q", "deterministic", "gaussian", "critic"])
def test_every_network_reads_them(space, size, kind, tmp_path):
    env_agent = GymAgent(lambda: SpaceEnv(space, gym.spaces.Box(-1, 1, (2,))), 3, seed=4)
    assert env_agent.observation_size == size
    choices = {"observation_choices": env_agent.observation_choices}
    agent = {
        "q": lambda: DiscreteQAgent([size], [8], 2, **choices),
        "deterministic": lambda: DeterministicActor(size, [8], 2, **choices),
        "gaussian": lambda: SquashedGaussianActor(size, [8], 2, **choices),
        "critic": lambda: ContinuousQAgent(size, [8], 2, **choices),
    }[kind]()
    workspace = Workspace()
    env_agent(workspace, t=0)
    workspace.set("action", 0, torch.zeros(3, 2))
    output = {"q": "q/q_values", "critic": "critic/q_values"}.get(kind, "action")
    results = []
    save_policy(agent, tmp_path / "policy")
    for one in (agent, copy.deepcopy(agent), load_policy(tmp_path / "policy")):
        own = Workspace(workspace)
        torch.manual_seed(1)
        one(own, t=0)
        results.append(own.get(output, 0))
    assert results[0].shape[0] == 3 and results[0].dtype == torch.float32
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_vectors_without_choices_are_saved_as_before(tmp_path):
    save_policy(DeterministicActor(3, [8], 2), tmp_path)
    assert "choices" not in (tmp_path / "policy.yaml").read_text()


def test_an_agent_that_was_not_told_of_choices_says_so():
    workspace = Workspace()
    workspace.set("env/env_obs", 0, torch.tensor([1, 2, 3]))
    with pytest.raises(CompositionError, match="observation_choices=env_agent.observation_choices"):
        DiscreteQAgent([3], [8], 2)(workspace, t=0)
    with pytest.raises(CompositionError, match="make 3 inputs, but observations of 4"):
        DiscreteQAgent([4], [8], 2, observation_choices=[[0, 3]])


@pytest.mark.parametrize(
    ("space", "way_out"),
    [
        (gym.spaces.Discrete(10**12), "wrapper of your own"),
        (gym.spaces.Box(0, 1, (4, 4)), "FlattenObservation"),
        (gym.spaces.MultiBinary([2, 2]), "FlattenObservation"),
        (gym.spaces.Box(0, 255, (4, 84, 84), np.uint8), "nature_cnn"),
        (gym.spaces.Tuple([gym.spaces.Discrete(3), gym.spaces.Discrete(2)]), "FlattenObservation"),
        (gym.spaces.Dict(a=gym.spaces.Box(0, 1, (2,)), b=gym.spaces.MultiBinary(2)), "FlattenObservation"),
    ],
)
def test_what_networks_do_not_read_is_refused_with_a_way_out_that_works(space, way_out):
    def make():
        return SpaceEnv(space)

    with pytest.raises(UnsupportedSpaceError, match=way_out) as raised:
        _ = GymAgent(make).observation_size
    assert "gym_env.wrappers" in str(raised.value)
    if way_out == "FlattenObservation":
        assert GymAgent(lambda: gym.wrappers.FlattenObservation(make())).observation_size > 0
