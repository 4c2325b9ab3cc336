"""Hindsight experience replay: windows of a ring, told as if what was achieved later had been the goal.

- `hindsight`: goals and rewards of windows.
- `episodes`: which frames of a ring belong to one episode.
- `lines`: the frames of one source, in order, wherever they lie in a ring.
"""

from workspace_rl.experience.hindsight.hindsight import STRATEGIES, Hindsight, Rewards

__all__ = ["STRATEGIES", "Hindsight", "Rewards"]
