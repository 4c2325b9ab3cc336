from collections import Counter

import gymnasium as gym
import numpy as np
import pytest
import torch

from workspace_rl import Workspace
from workspace_rl.agents import RandomAgent
from workspace_rl.errors import ActionError, UnsupportedSpaceError, VariableMismatchError


def actions(space, n=3000):
    workspace = Workspace()
    workspace.set("env/done", 0, torch.zeros(n, dtype=torch.bool))
    RandomAgent(space)(workspace, t=0)
    return workspace.get("action", 0)


def test_continuous_actions_fill_the_cube():
    drawn = actions(gym.spaces.Box(0, 5, (2,), np.float32))
    assert drawn.shape == (3000, 2) and drawn.dtype == torch.float32
    assert -1 <= drawn.min() < -0.99 and 0.99 < drawn.max() <= 1


def test_discrete_actions_take_every_choice():
    assert set(actions(gym.spaces.Discrete(3)).tolist()) == {0, 1, 2}
    drawn = actions(gym.spaces.MultiDiscrete([2, 4]))
    assert drawn.shape == (3000, 2) and drawn.amax(0).tolist() == [1, 3]
    drawn = actions(gym.spaces.MultiBinary([2, 2]))
    assert drawn.shape == (3000, 2, 2) and drawn.dtype == torch.int64
    assert drawn.amin() == 0 and drawn.amax() == 1 and (drawn.float().mean(0) - 0.5).abs().max() < 0.05


def test_other_spaces_are_refused():
    with pytest.raises(UnsupportedSpaceError):
        RandomAgent(gym.spaces.Text(3))


MASKS = {
    "choice": (gym.spaces.Discrete(4), [0, 1, 0, 1], {(1,), (3,)}),
    "one": (gym.spaces.Discrete(3), [0, 0, 1], {(2,)}),
    "parts": (gym.spaces.MultiDiscrete([2, 3]), [1, 0, 0, 1, 1], {(0, 1), (0, 2)}),
    "rows": (gym.spaces.MultiDiscrete([[2, 1], [2, 3]]), [0, 1, 1, 1, 0, 1, 0, 1], {(1, 0, 0, 0), (1, 0, 0, 2)}),
    "switches": (gym.spaces.MultiBinary(3), [1, 0, 1], {(a, 0, b) for a in (0, 1) for b in (0, 1)}),
    "no switch": (gym.spaces.MultiBinary((1, 2)), [0, 0], {(0, 0)}),
}


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("dtype", [torch.bool, torch.int8])
def test_only_what_is_allowed_is_drawn_and_each_of_it_as_often(kind, dtype):
    space, allowed, expected = MASKS[kind]
    torch.manual_seed(0)
    n, workspace = 4000, Workspace()
    workspace.set("env/done", 2, torch.zeros(n, dtype=torch.bool))
    workspace.set("mask", 2, torch.tensor(allowed, dtype=dtype).expand(n, len(allowed)))
    RandomAgent(space, mask_variable="mask")(workspace, t=2)
    action = workspace.get("action", 2)
    assert action.dtype == torch.int64 and action.shape == (n, *space.shape)
    drawn = Counter(map(tuple, action.reshape(n, -1).tolist()))
    assert set(drawn) == expected and min(drawn.values()) > 0.9 * n / len(expected)


def test_each_environment_and_each_part_needs_something_that_is_allowed_unless_its_episode_is_over():
    agent, workspace = RandomAgent(gym.spaces.MultiDiscrete([2, 2]), mask_variable="mask"), Workspace()
    workspace.set("mask", 5, torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]], dtype=torch.bool))
    workspace.set("env/timestep", 5, torch.tensor([9, 3]))
    workspace.set("env/done", 5, torch.tensor([False, False]))
    with pytest.raises(ActionError, match="'mask' at step 5 allows no action in environment 1, at step 3 of its epis"):
        agent(workspace, t=5)
    workspace.set("env/done", 5, torch.tensor([False, True]))
    agent(workspace, t=5)
    assert workspace.get("action", 5).shape == (2, 2)


def test_masks_that_do_not_fit_are_refused():
    workspace = Workspace()
    workspace.set("mask", 0, torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(VariableMismatchError, match=r"'mask' at step 0 must say of 4 choices"):
        RandomAgent(gym.spaces.Discrete(4), mask_variable="mask")(workspace, t=0)
    with pytest.raises(UnsupportedSpaceError, match="no choices of which the mask 'mask' could allow some"):
        RandomAgent(gym.spaces.Box(-1, 1, (2,)), mask_variable="mask")
