"""What environments and policies go through together: collected, kept, sampled, and summed up as returns."""

from workspace_rl.experience.collector import Collector
from workspace_rl.experience.replay_buffer import ReplayBuffer
from workspace_rl.experience.returns import gae, n_step_transitions

__all__ = ["Collector", "ReplayBuffer", "gae", "n_step_transitions"]
