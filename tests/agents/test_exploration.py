import gymnasium as gym
import numpy as np
import pytest
import torch

from workspace_rl import Workspace
from workspace_rl.agents import RandomAgent
from workspace_rl.errors import UnsupportedSpaceError


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
