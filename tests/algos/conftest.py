"""Shared by the tests of algorithms."""

import pytest
import torch

from tests.toys import ACT, BATCH, OBS
from workspace_rl import Workspace


@pytest.fixture
def batch(double):
    """A batch of transitions of `ContinuousSpacesEnv`."""
    torch.manual_seed(3)
    workspace = Workspace()
    workspace.set_full("env/env_obs", torch.randn(2, BATCH, OBS))
    workspace.set_full("action", torch.rand(2, BATCH, ACT) * 2 - 1)
    workspace.set_full("env/reward", torch.randn(2, BATCH))
    workspace.set_full("env/terminated", torch.rand(2, BATCH) < 0.3)
    return workspace
