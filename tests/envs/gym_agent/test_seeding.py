"""The seeds of resets."""

import gymnasium as gym
import pytest
import torch

from workspace_rl import GymAgent, Workspace
from workspace_rl.errors import CompositionError


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
