"""What environments and policies go through together: collected, kept, sampled, and summed up as returns.

- `collector`: runs environments with a policy of its own, and gives fragments; what the loop asks of a collector.
- `fragment`: what a collector hands over: new frames, and where they come from.
- `arrivals`: which fragments have come, and which were lost.
- `experience`: what fragments go into and batches come from.
- `replay`: experience of off-policy algorithms: all that the ring still holds.
- `rollout`: experience of on-policy algorithms: what was collected last.
- `experience_wrapper`: experience around another one, for what is done otherwise than by these.
- `replay_buffer`: the ring of frames, and the windows that are drawn from it.
- `rate_limiter`: how much may be sampled of what was inserted: Reverb's `SampleToInsertRatio`.
- `block_limiter`: the same for a learner that orders blocks and draws batches.
- `returns`: targets and advantages over several steps.
- `sequences`: windows as sequences, which memories run over.
"""

from workspace_rl.experience.block_limiter import BlockLimiter
from workspace_rl.experience.collector import Collecting, Collector
from workspace_rl.experience.experience import Experience
from workspace_rl.experience.experience_wrapper import ExperienceWrapper
from workspace_rl.experience.fragment import Fragment
from workspace_rl.experience.rate_limiter import RateLimiter
from workspace_rl.experience.replay import Replay
from workspace_rl.experience.replay_buffer import Priorities, ReplayBuffer
from workspace_rl.experience.returns import clip_rewards, gae, n_step_transitions
from workspace_rl.experience.rollout import Rollout
from workspace_rl.experience.sequences import counting_steps, run_over, steps_side_by_side

__all__ = [
    "BlockLimiter",
    "Collecting",
    "Collector",
    "Experience",
    "ExperienceWrapper",
    "Fragment",
    "Priorities",
    "RateLimiter",
    "Replay",
    "ReplayBuffer",
    "Rollout",
    "clip_rewards",
    "counting_steps",
    "gae",
    "n_step_transitions",
    "run_over",
    "steps_side_by_side",
]
