"""The replay buffer: a ring of frames, of which windows are drawn.

- `buffer`: `ReplayBuffer`, which puts the others together.
- `ring`: the memory, in which new rows are written over the oldest.
- `episode_ends`: where episodes end, and finding the frames that end none.
- `windows`: which windows may be drawn, and drawing them.
- `frame_stacks`: how stacks of pictures are rebuilt from single ones.
- `saved_rows`: what checkpoints keep of it.
"""

from workspace_rl.experience.replay_buffer.buffer import ReplayBuffer

__all__ = ["ReplayBuffer"]
