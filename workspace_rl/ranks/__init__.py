"""Learners side by side: the processes of one training, started by torchrun, and what they share.

- `alone`: what a training asks of its ranks, and a training that has only one.
- `together`: one rank among several: joining, agreeing, leaving.
- `program`: which of the two this program is.
- `farewell`: what a rank that leaves early tells the others.
- `gradients`: gradients averaged over ranks.
- `weights`: weights compared between ranks.
"""

from workspace_rl.ranks.alone import Alone
from workspace_rl.ranks.program import ranks_of_this_program

__all__ = ["Alone", "ranks_of_this_program"]
