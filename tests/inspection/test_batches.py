"""What the batches of an algorithm look like, by what it collects."""

from types import SimpleNamespace

import torch

from workspace_rl.experience import Replay, ReplayBuffer, Rollout
from workspace_rl.inspection.tracing.batches import example_batch
from workspace_rl.inspection.tracing.layouts import BATCH, Layout

COLLECTED = {
    "env/env_obs": Layout((2, 5, 4, 84, 84), torch.uint8),
    "action": Layout((2, 5), torch.int64),
    "env/reward": Layout((2, 5), torch.float32),
    "env/done": Layout((2, 5), torch.bool),
}


def replaying(*stored, n_step_return=1):
    buffer = ReplayBuffer(100, stored)
    return SimpleNamespace(
        stored_variables=stored, make_experience=lambda: Replay(buffer, batch_size=7, window=n_step_return + 1)
    )


def test_windows_of_a_replay_buffer_hold_what_is_stored_and_where_episodes_end():
    example = example_batch(replaying("env/env_obs", "action", n_step_return=3), COLLECTED)
    assert example.stored == ["env/env_obs", "action"] and example.window == 4 and not example.missing
    assert example.layouts == {
        "env/env_obs": Layout((4, BATCH, 4, 84, 84), torch.uint8),
        "action": Layout((4, BATCH), torch.int64),
        "env/done": Layout((4, BATCH), torch.bool),
    }
    assert (example.kind, example.stored_by) == ("replay buffer", "stored_variables")


def test_a_rollout_has_a_frame_more_than_steps():
    rollout = Rollout(6, ("action", "env/reward"))
    example = example_batch(SimpleNamespace(make_experience=lambda: rollout), COLLECTED)
    assert example.layouts == {
        "action": Layout((7, BATCH), torch.int64),
        "env/reward": Layout((7, BATCH), torch.float32),
        "env/done": Layout((7, BATCH), torch.bool),
    }
    assert (example.kind, example.stored_by) == ("rollout", "the rollout")


def test_what_was_not_collected_is_named():
    assert example_batch(replaying("action", "action_logprobs"), COLLECTED).missing == ["action_logprobs"]
