import pytest
import torch

from workspace_rl import Workspace, n_step_transitions


def window(rewards, terminated, truncated):
    """A window of one environment; rewards[k] and the flags belong to frame k (that of frame 0 is unused)."""
    workspace = Workspace()
    workspace.set_full("env/env_obs", torch.arange(len(rewards)).reshape(-1, 1, 1).float())
    workspace.set_full("env/reward", torch.tensor(rewards).reshape(-1, 1))
    workspace.set_full("env/terminated", torch.tensor(terminated).bool().reshape(-1, 1))
    workspace.set_full(
        "env/done", torch.tensor(terminated).bool().reshape(-1, 1) | torch.tensor(truncated).bool().reshape(-1, 1)
    )
    return workspace


@pytest.mark.parametrize(
    ("rewards", "terminated", "truncated", "total", "discount", "bootstrap_frame"),
    [
        # one step
        ([0.0, 2.0], [0, 0], [0, 0], 2, 0.5, 1),
        ([0.0, 2.0], [0, 1], [0, 0], 2, 0, 1),
        ([0.0, 2.0], [0, 0], [0, 1], 2, 0.5, 1),
        ([0.0, 2.0], [0, 1], [0, 1], 2, 0, 1),
        # three steps: none ends; 1 + 2/2 + 4/4 = 3
        ([9.0, 1.0, 2.0, 4.0], [0, 0, 0, 0], [0, 0, 0, 0], 3, 0.125, 3),
        # ends at the first, second, third frame
        ([9.0, 1.0, 2.0, 4.0], [0, 1, 0, 0], [0, 0, 0, 0], 1, 0, 1),
        ([9.0, 1.0, 2.0, 4.0], [0, 0, 0, 0], [0, 1, 0, 0], 1, 0.5, 1),
        ([9.0, 1.0, 2.0, 4.0], [0, 0, 1, 0], [0, 0, 0, 0], 2, 0, 2),
        ([9.0, 1.0, 2.0, 4.0], [0, 0, 0, 0], [0, 0, 1, 0], 2, 0.25, 2),
        ([9.0, 1.0, 2.0, 4.0], [0, 0, 0, 1], [0, 0, 0, 1], 3, 0, 3),
        ([9.0, 1.0, 2.0, 4.0], [0, 0, 0, 0], [0, 0, 0, 1], 3, 0.125, 3),
        # an episode of one step after the first one's end does not matter
        ([9.0, 1.0, 0.0, 4.0], [0, 0, 0, 1], [0, 1, 0, 0], 1, 0.5, 1),
    ],
)
def test_hand_computed_returns(rewards, terminated, truncated, total, discount, bootstrap_frame):
    given = window(rewards, terminated, truncated)
    transitions = n_step_transitions(given, discount_factor=0.5)
    assert transitions.get("env/reward", 1).item() == total
    assert transitions.get("discount", 1).item() == discount
    assert transitions["env/env_obs"].flatten().tolist() == [0, bootstrap_frame]
    assert given["env/reward"].flatten().tolist() == rewards


def test_batches_end_at_different_frames():
    batch = Workspace.cat_batch(
        [window([0.0, 1.0, 2.0], [0, 1, 0], [0, 0, 0]), window([0.0, 1.0, 2.0], [0, 0, 0], [0, 0, 0])]
    )
    transitions = n_step_transitions(batch, 0.5)
    assert transitions.get("env/reward", 1).tolist() == [1, 2]
    assert transitions.get("discount", 1).tolist() == [0, 0.25]
    assert transitions.get("env/env_obs", 1).flatten().tolist() == [1, 2]
