"""The replay buffer: a ring of frames, of which windows are drawn.

- `buffer`: `ReplayBuffer`, which puts the others together.
- `ring`: the memory, in which new rows are written over the oldest.
- `episode_ends`: where episodes end, and finding the frames that end none.
- `drawing`: which windows may be drawn, and drawing them, uniformly or by priorities.
- `reading`: frames out of the ring, as workspaces.
- `blocks`: how frames of several sources share the ring.
- `checks`: whether frames fit.
- `frame_stacks`: how stacks of pictures are rebuilt from single ones.
- `weights_age`: how old the weights were that made the frames of batches.
- `saved_rows`: what checkpoints keep of it.
"""

from workspace_rl.experience.replay_buffer.buffer import ReplayBuffer
from workspace_rl.experience.replay_buffer.drawing.prioritized_windows import Priorities
from workspace_rl.experience.replay_buffer.weights_age import WeightsAge

__all__ = ["Priorities", "ReplayBuffer", "WeightsAge"]
