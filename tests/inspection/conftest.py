"""Environments that nobody steps, and a policy for them."""

import pytest

from workspace_rl import GymAgent
from workspace_rl.agents import SquashedGaussianActor


@pytest.fixture(scope="module")
def env():
    agent = GymAgent("Pendulum-v1", 2)
    yield agent
    agent.close()


@pytest.fixture
def policy():
    return SquashedGaussianActor(3, [8], 1, name="actor")
