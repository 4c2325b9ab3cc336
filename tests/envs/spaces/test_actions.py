"""Actions out of variables: checked, rescaled, clipped."""

import multiprocessing
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.toys import SpaceEnv
from workspace_rl import GymAgent, Workspace
from workspace_rl.errors import ActionError, CompositionError, UnsupportedSpaceError, UnwrittenStepError


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


@pytest.mark.parametrize("n", [3, [3], [2, 2]])
def test_zeros_and_ones(n):
    space = gym.spaces.MultiBinary(n)
    given = torch.ones(space.shape, dtype=torch.int64)
    given[0] = 0
    seen = actions_seen(space, given.unsqueeze(0))
    assert seen.dtype == np.int8 and seen.tolist() == given.tolist() and space.contains(seen)
    with pytest.raises(ActionError, match=r"takes 0 to \["):
        actions_seen(space, 2 * given.unsqueeze(0))
    with pytest.raises(ActionError, match=r"integers of shape \[1, .*found torch.float32"):
        actions_seen(space, given.unsqueeze(0).float())


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
    with pytest.raises(UnsupportedSpaceError, match="Box .of floats., Discrete, MultiDiscrete and MultiBinary"):
        GymAgent(lambda: SpaceEnv(action_space=space))
