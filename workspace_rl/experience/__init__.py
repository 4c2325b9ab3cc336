"""What environments and policies go through together: collected, kept, sampled, and summed up as returns.

- `collector`: runs environments with a policy of its own, and gives fragments.
- `fragment`: what a collector hands over: new frames, and where they come from.
- `experience`: what fragments go into and batches come from.
- `replay`: experience of off-policy algorithms: all that the ring still holds.
- `rollout`: experience of on-policy algorithms: what was collected last.
- `replay_buffer`: the ring of frames, and the windows that are drawn from it.
- `returns`: targets and advantages over several steps.
"""

from workspace_rl.experience.collector import Collector
from workspace_rl.experience.replay_buffer import ReplayBuffer
from workspace_rl.experience.returns import gae, n_step_transitions

__all__ = ["Collector", "ReplayBuffer", "gae", "n_step_transitions"]
